"""Every member of the workspace has the same shape and says what it depends on."""

import importlib
import re

README_LINES_MAX = 80
REQUIREMENT = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(\[[\w,-]+\])?(?P<bounds>.*)$")


def requirements(member):
    project = member.project["project"]
    optional = project.get("optional-dependencies", {})
    lines = [*project["dependencies"], *(line for lines in optional.values() for line in lines)]
    return [REQUIREMENT.match(line) for line in lines]


def test_a_member_has_the_required_files(member):
    assert (member.package / "__init__.py").is_file()
    assert (member.package / "py.typed").is_file()
    assert any((member.folder / "tests").rglob("test_*.py")), "it has no tests"


def test_a_member_is_named_like_its_folder_and_built_by_hatchling(member):
    project = member.project["project"]
    assert project["name"] == member.name
    assert project["license"] == "Apache-2.0"
    assert project["readme"] == "README.md"
    assert project["requires-python"] == ">=3.11"
    assert project["description"].endswith(".")
    assert member.project["build-system"]["build-backend"] == "hatchling.build"
    assert [folder.name for folder in (member.folder / "src").iterdir()] == [member.import_name]


def test_a_readme_starts_with_the_name_and_is_short(member):
    lines = (member.folder / "README.md").read_text(encoding="utf-8").splitlines()
    assert lines[0] == f"# {member.name}"
    assert len(lines) > 10, "it says too little"
    assert len(lines) <= README_LINES_MAX


def test_dependencies_have_version_bounds(member, members):
    ours = {other.name for other in members}
    for requirement in requirements(member):
        name, bounds = requirement["name"], requirement["bounds"]
        if name in ours:
            # The workspace source is not in the wheel: only these bounds reach a user.
            assert re.fullmatch(r">=0\.\d+,<0\.\d+", bounds), f"{name}{bounds}"
        else:
            assert bounds.startswith((">=", "==")), f"{name} has no lower bound"


def test_dependencies_of_ours_are_workspace_sources(member, members):
    ours = {other.name for other in members}
    needed = {r["name"] for r in requirements(member)} & ours
    sources = member.project.get("tool", {}).get("uv", {}).get("sources", {})
    assert set(sources) == needed
    assert all(source == {"workspace": True} for source in sources.values())


def test_the_root_knows_every_member(members, workspace):
    names = {member.name for member in members}
    assert set(workspace["tool"]["uv"]["sources"]) == names
    wanted = {*workspace["project"]["dependencies"], *workspace["dependency-groups"]["dev"]}
    assert names <= {requirement.partition("[")[0] for requirement in wanted}
    assert set(workspace["tool"]["importlinter"]["root_packages"]) == {
        member.import_name for member in members
    }


def test_all_is_complete_and_sorted(member):
    package = importlib.import_module(member.import_name)
    names = list(getattr(package, "__all__", []))
    assert names == sorted(names, key=_sort_key)
    assert len(set(names)) == len(names)
    assert all(hasattr(package, name) for name in names)
    own = {
        name
        for name, value in vars(package).items()
        if not name.startswith("_")
        and getattr(value, "__module__", "").split(".")[0] == member.import_name
    }
    assert own <= set(names), f"not in __all__: {sorted(own - set(names))}"


def _sort_key(name):
    """Constants, then classes, then functions: the order of ruff's RUF022."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


def test_an_init_only_re_exports(member):
    text = (member.package / "__init__.py").read_text(encoding="utf-8")
    assert text.startswith('"""')
    assert not re.search(r"^(def|class|async def) ", text, re.MULTILINE)


def test_a_module_is_not_longer_than_it_should_be(member):
    for module in member.modules:
        lines = len(module.read_text(encoding="utf-8").splitlines())
        assert lines <= 450, f"{module.name} has {lines} lines: what does it hide?"


def test_folders_of_tests_that_are_packages_have_names_of_their_own(root):
    """Two packages of one name shadow each other, and which one is found is a matter of order."""
    patterns = ("tests/*/__init__.py", "libs/*/*/tests/*/__init__.py", "bin/*/tests/*/__init__.py")
    names = sorted(path.parent.name for pattern in patterns for path in root.glob(pattern))
    assert names == sorted(set(names))
