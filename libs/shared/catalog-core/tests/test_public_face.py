import re
from pathlib import Path

import catalog_core

README = Path(__file__).parent.parent / "README.md"


def test_every_public_name_exists() -> None:
    assert all(hasattr(catalog_core, name) for name in catalog_core.__all__)


def test_the_example_of_the_readme_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    exec(compile(example, str(README), "exec"), {})
