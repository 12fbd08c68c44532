"""What the package shows to others."""

import re
from pathlib import Path

import model_keeper

README = Path(__file__).parent.parent / "README.md"


def test_every_public_name_exists() -> None:
    assert all(hasattr(model_keeper, name) for name in model_keeper.__all__)


def test_the_example_of_the_readme_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    exec(compile(example, str(README), "exec"), {})
