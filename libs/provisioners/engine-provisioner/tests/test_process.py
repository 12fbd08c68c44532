import os
import signal
import sys
from dataclasses import replace

import pytest

from engine_provisioner import EngineProcess, identify
from engine_provisioner.process import command_line, oom_kills


def spawn(code, tmp_path, **more):
    return EngineProcess.spawn(
        (sys.executable, "-c", code),
        log_path=tmp_path / "log",
        environment=more.pop("environment", {}),
        **more,
    )


async def test_the_exit_code_is_told_and_the_output_is_in_the_log(tmp_path):
    process = spawn("import sys; print('hello'); sys.exit(7)", tmp_path)
    assert await process.exited() == 7
    assert (tmp_path / "log").read_text() == "hello\n"


async def test_it_leads_a_session_of_its_own(tmp_path):
    process = spawn("import os; print(os.getsid(0) == os.getpid())", tmp_path)
    await process.exited()
    assert (tmp_path / "log").read_text() == "True\n"


async def test_it_gets_its_secret_on_stdin_and_its_environment(tmp_path):
    process = spawn(
        "import os; print(input(), os.environ['GREETING'])",
        tmp_path,
        stdin=b"secret\n",
        environment={"GREETING": "hi"},
    )
    await process.exited()
    assert (tmp_path / "log").read_text() == "secret hi\n"


async def test_a_kill_takes_the_whole_group(tmp_path):
    process = spawn(
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True)\n"
        "child.wait()",
        tmp_path,
    )
    log = tmp_path / "log"
    while not log.read_text().endswith("\n"):
        os.sched_yield()
    worker = identify(int(log.read_text()))
    watched = EngineProcess.attach(worker)
    process.kill()
    assert await process.exited() == -signal.SIGKILL
    await watched.exited()
    assert not worker.alive


async def test_an_adopted_process_is_watched_without_being_a_child(tmp_path):
    process = spawn("input()", tmp_path)
    adopted = EngineProcess.attach(process.identity)
    await process.exited()
    assert await adopted.exited() is None
    assert not process.identity.alive


async def test_a_pid_that_names_another_process_now_is_not_attached(tmp_path):
    me = identify(os.getpid())
    assert me.alive
    stranger = replace(me, start_ticks=me.start_ticks + 1)
    assert not stranger.alive
    assert EngineProcess.attach(stranger) is None


def test_a_program_that_is_not_there_is_an_os_error(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        EngineProcess.spawn(("/nowhere/engine",), log_path=tmp_path / "log", environment={})


def test_a_pid_without_process_has_no_command_line():
    assert command_line(2**22 + 1) == ()
    assert identify(2**22 + 1) is None


def test_the_kernels_count_of_killed_processes_is_read(tmp_path):
    vmstat = tmp_path / "vmstat"
    vmstat.write_text("pgfault 7\noom_kill 3\nswap_ra 0\n")
    assert oom_kills(vmstat) == 3
    vmstat.write_text("pgfault 7\n")
    assert oom_kills(vmstat) == 0
    assert oom_kills(tmp_path / "absent") == 0
