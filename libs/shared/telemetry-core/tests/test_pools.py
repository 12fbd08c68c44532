"""What is told of pools is in the exposition."""

import pytest

from telemetry_core import Metrics, PoolMetrics, Program


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(Program.POOL_MANAGERD, constant={"node_id": "n"})


def test_handoffs_drains_reloads_and_restarts_are_counted_by_what_became_of_them(
    metrics: Metrics,
) -> None:
    pools = PoolMetrics(metrics)
    pools.handoff_processed("p", "appeared", 12.0)
    pools.handoff_processed("p", "vanished", None)
    pools.drain_ended("p", "emptied", 800.0)
    pools.reload_ended("p", "rolled_back", 40_000.0)
    pools.engines_restarted("p", "engine_lost", 2)
    lines = metrics.expose()[0].decode().splitlines()
    series = 'node_id="n",outcome="{}",pool_id="p"'
    files = "pool_handoff_files_processed_total"
    assert f"{files}{{{series.format('appeared')}}} 1.0" in lines
    assert f"{files}{{{series.format('vanished')}}} 1.0" in lines
    assert 'pool_handoff_processing_duration_ms_count{node_id="n",pool_id="p"} 1.0' in lines
    assert f"pool_drain_duration_ms_sum{{{series.format('emptied')}}} 800.0" in lines
    assert f"pool_reload_duration_ms_sum{{{series.format('rolled_back')}}} 40000.0" in lines
    restarts = 'pool_engine_restarts_total{cause="engine_lost",node_id="n",pool_id="p"} 2.0'
    assert restarts in lines


def test_looks_at_engines_and_errors_of_devices_are_counted(metrics: Metrics) -> None:
    pools = PoolMetrics(metrics)
    pools.health_checked("p", "timeout", 3_000.0)
    pools.gpu_failed("0", "memory", 3)
    lines = metrics.expose()[0].decode().splitlines()
    assert 'pool_health_checks_total{node_id="n",outcome="timeout",pool_id="p"} 1.0' in lines
    assert 'gpu_errors_total{device="0",kind="memory",node_id="n"} 3.0' in lines
