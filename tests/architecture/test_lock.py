"""The lock names the public index and the workspace, and nothing that only one machine has."""

import tomllib

import pytest

PUBLIC_INDEX = "https://pypi.org/simple"
PUBLIC_FILES = "https://files.pythonhosted.org/"


@pytest.fixture
def lock(root):
    return tomllib.loads((root / "uv.lock").read_text(encoding="utf-8"))


def test_every_package_comes_from_the_public_index_or_the_workspace(lock, members, root):
    folders = {str(member.folder.relative_to(root)): member.name for member in members}
    for package in lock["package"]:
        source = package["source"]
        if package["name"] == "llama-orch":
            assert source == {"virtual": "."}
        elif "editable" in source:
            assert folders[source["editable"]] == package["name"]
        else:
            assert source == {"registry": PUBLIC_INDEX}, package["name"]


def test_every_file_comes_from_the_public_index(lock):
    for package in lock["package"]:
        files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
        assert all(file["url"].startswith(PUBLIC_FILES) for file in files), package["name"]


def test_no_project_file_names_an_index(root, members):
    paths = [root / "pyproject.toml", *(member.folder / "pyproject.toml" for member in members)]
    for path in paths:
        text = path.read_text(encoding="utf-8")
        assert "index-url" not in text, path
        assert "[[tool.uv.index]]" not in text, path
