import re
from pathlib import Path

import demo_model

README = Path(__file__).parent.parent / "README.md"


def test_every_public_name_exists() -> None:
    assert all(hasattr(demo_model, name) for name in demo_model.__all__)


def test_the_example_of_the_readme_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    exec(compile(example, str(README), "exec"), {})
