import os
import stat
import sys

from engine_provisioner import (
    EngineProcess,
    handoff_path,
    identify,
    read_handoff,
    remove_handoff,
    write_handoff,
)
from engine_provisioner.handoff import adopted_path, own_process, status_path
from pool_registry_types import HandoffModel, HandoffPayload


def payload(**changes):
    me = identify(os.getpid())
    values = {
        "pool_id": "demo",
        "replica_id": "r0",
        "engine": "llamacpp",
        "engine_version": "1",
        "url": "http://127.0.0.1:4000",
        "slots": 2,
        "pid": me.pid,
        "ctx_max": 512,
        "model": HandoffModel(id="m", path="/m.gguf", size_bytes=1),
        "created_ms": 1,
        "boot_id": me.boot_id,
        "pid_ns": me.pid_ns,
        "pid_start_ticks": me.start_ticks,
        "engine_key": "secret",
    }
    return HandoffPayload(**{**values, **changes})


def test_only_the_owner_may_read_a_handoff_and_no_draft_is_left(tmp_path):
    before = os.umask(0)
    try:
        path = write_handoff(tmp_path, payload())
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    assert '"schema": 1' in path.read_text()


def test_what_was_written_is_read_again_also_where_a_watcher_put_it_away(tmp_path):
    path = write_handoff(tmp_path, payload())
    assert read_handoff(tmp_path, "demo", "r0") == payload()
    away = adopted_path(tmp_path, "demo", "r0")
    away.parent.mkdir()
    path.rename(away)
    assert read_handoff(tmp_path, "demo", "r0") == payload()
    remove_handoff(tmp_path, "demo", "r0")
    assert read_handoff(tmp_path, "demo", "r0") is None
    assert not away.exists()


def test_a_file_that_is_none_or_names_another_replica_is_no_handoff(tmp_path):
    path = handoff_path(tmp_path, "demo", "r0")
    path.write_text("{")
    assert read_handoff(tmp_path, "demo", "r0") is None
    path.write_text(payload(pool_id="other").model_dump_json(by_alias=True))
    assert read_handoff(tmp_path, "demo", "r0") is None


async def test_a_process_is_ours_only_when_its_command_line_names_its_status_file(tmp_path):
    status = status_path(tmp_path, "demo", "r0")
    status.parent.mkdir()
    assert own_process(tmp_path, "demo", "r0") is None
    status.write_text(f'{{"pid": {os.getpid()}}}')
    assert own_process(tmp_path, "demo", "r0") is None
    process = EngineProcess.spawn(
        (sys.executable, "-c", "print('up', flush=True); import time; time.sleep(60)", str(status)),
        log_path=(log := tmp_path / "log"),
        environment={},
    )
    # The kernel shows the command line a moment after the process.
    while log.read_text() != "up\n":
        os.sched_yield()
    status.write_text(f'{{"pid": {process.pid}}}')
    assert own_process(tmp_path, "demo", "r0") == process.identity
    process.kill()
    await process.exited()
    assert own_process(tmp_path, "demo", "r0") is None
