"""What the documents say is true, runs, and holds for every machine."""

import ast
import asyncio
import inspect
import re

COMMANDS = ("uv run orchestratord --demo", "uv run pytest")
MACHINE_PATHS = re.compile(r"(?<![\w.$}~])/(work|root|home|tmp|Users)/")
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NOT_RUN = re.compile(r"<!-- not run[^>]*-->\s*" + BLOCK.pattern[1:], BLOCK.flags)


def documents(root):
    found = root.rglob("*.md")
    return [path for path in found if not any(part.startswith(".") for part in path.parts)]


def test_the_readme_begins_with_its_two_commands(root):
    text = (root / "README.md").read_text(encoding="utf-8")
    first_block = text.split("```")[1]
    assert all(command in first_block for command in COMMANDS)
    assert text.index("```") < 400


def test_no_document_names_a_path_of_one_machine(root):
    for path in documents(root):
        found = MACHINE_PATHS.search(path.read_text(encoding="utf-8"))
        assert found is None, f"{path.relative_to(root)}: {found and found.group()}"


def test_every_link_to_a_file_leads_somewhere(root):
    for path in documents(root):
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.relative_to(root)} links to {target}"


def test_every_decision_says_when_it_is_violated_and_what_checks_it(root):
    decisions = sorted((root / "docs" / "adr").glob("0*.md"))
    assert [int(path.name[:4]) for path in decisions] == list(range(1, len(decisions) + 1))
    index = (root / "docs" / "README.md").read_text(encoding="utf-8")
    for path in decisions:
        text = path.read_text(encoding="utf-8")
        assert "A change violates this when " in text, path.name
        assert "Checked by " in text, path.name
        assert path.name in index, f"{path.name} is not in the index"


def test_the_examples_of_a_readme_run(member, tmp_path, monkeypatch):
    """The blocks of one README are one program; those that need more are marked `<!-- not run`."""
    text = (member.folder / "README.md").read_text(encoding="utf-8")
    text = re.sub(
        r"<!-- not run[^>]*-->\s*```python\n.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE
    )
    blocks = BLOCK.findall(text)
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "readme"}
    for block in blocks:
        code = compile(
            block, f"{member.name}/README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        )
        if code.co_flags & inspect.CO_COROUTINE:
            asyncio.run(asyncio.wait_for(eval(code, names), timeout=30))
        else:
            exec(code, names)
