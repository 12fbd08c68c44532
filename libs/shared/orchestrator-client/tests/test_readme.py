import re
from pathlib import Path

from orchestrator_client.testing import FakeOrchestratord

README = Path(__file__).parent.parent / "README.md"


async def test_the_readme_example_runs(fake: FakeOrchestratord) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    example = example.replace("http://127.0.0.1:8080", fake.url).replace("asyncio.run(main())", "")
    names: dict[str, object] = {}
    exec(compile(example, str(README), "exec"), names)
    await names["main"]()  # type: ignore[operator]
    assert len(fake.tasks) == 2
