import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from handoff_watcher import (
    HandoffPayload,
    HostIdentity,
    PidState,
    check_pid,
    pid_start_ticks,
    read_host_identity,
)

MakePayload = Callable[..., HandoffPayload]


@pytest.fixture
def host() -> HostIdentity:
    return read_host_identity()


def handed_over(make: MakePayload, host: HostIdentity, pid: int, **changed: Any) -> HandoffPayload:
    fields: dict[str, Any] = {
        "pid": pid,
        "boot_id": host.boot_id,
        "pid_ns": host.pid_ns,
        "pid_start_ticks": pid_start_ticks(pid),
    }
    return make(**(fields | changed))


def test_a_running_process_of_this_boot_is_alive(
    make_payload: MakePayload, host: HostIdentity
) -> None:
    assert check_pid(handed_over(make_payload, host, os.getpid()), host) is PidState.ALIVE


def test_a_process_that_ended_is_gone_even_as_a_zombie(
    make_payload: MakePayload, host: HostIdentity
) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        payload = handed_over(make_payload, host, child.pid)
        assert check_pid(payload, host) is PidState.ALIVE
        assert child.stdin is not None
        child.stdin.close()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert check_pid(payload, host) is PidState.GONE
    assert check_pid(payload, host) is PidState.GONE


def test_a_pid_that_names_another_process_by_now_is_gone(
    make_payload: MakePayload, host: HostIdentity
) -> None:
    payload = handed_over(make_payload, host, os.getpid(), pid_start_ticks=1)
    assert check_pid(payload, host) is PidState.GONE


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("boot_id", None),
        ("boot_id", "other"),
        ("pid_ns", None),
        ("pid_ns", "other"),
        ("pid_start_ticks", None),
    ],
)
def test_a_pid_of_another_boot_or_namespace_is_not_trusted(
    make_payload: MakePayload, host: HostIdentity, field: str, value: str | None
) -> None:
    payload = handed_over(make_payload, host, os.getpid(), **{field: value})
    assert check_pid(payload, host) is PidState.UNTRUSTED


def test_where_the_kernel_hides_its_boot_no_pid_is_trusted(
    make_payload: MakePayload, tmp_path: Path
) -> None:
    hidden = read_host_identity(tmp_path)
    assert hidden == HostIdentity(None, None)
    assert check_pid(make_payload(pid_start_ticks=1), hidden) is PidState.UNTRUSTED


def test_a_program_name_with_brackets_and_spaces_does_not_shift_the_fields(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    numbers = " ".join(str(number) for number in range(4, 53))
    (tmp_path / "7/stat").write_text(f"7 (a) S (b) c) S {numbers}\n")
    assert pid_start_ticks(7, tmp_path) == 22
