import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

PROGRAM = """
import asyncio, sys
from http_shell import StopSignals, run

async def main():
    signals = StopSignals()
    with signals.listening():
        print("listens", flush=True)
        await signals.stop.wait()

{run}(main())
print("leaves", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("run", ["run", "asyncio.run"])
def test_a_program_that_has_been_told_to_end_leaves_in_order_however_often_it_is_told(
    run: str,
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(run=run)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        says: Callable[[], str] = program.stdout.readline
        assert says() == "listens\n"
        program.send_signal(signal.SIGTERM)
        assert says() == "leaves\n"
        program.send_signal(signal.SIGTERM)
        program.send_signal(signal.SIGINT)
        program.stdin.close()
        assert program.wait(30) == 0
