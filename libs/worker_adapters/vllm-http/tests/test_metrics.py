"""What vLLM counts is read from its exposition, over all of its engines."""

from vllm_http import EngineLoad, engine_load

from .expositions import metrics_of


def test_running_and_waiting_are_read_and_nothing_like_them() -> None:
    assert engine_load(metrics_of(running=3, waiting=2)) == EngineLoad(running=3, waiting=2)


def test_the_engines_of_one_server_are_added_up() -> None:
    second = metrics_of(running=1).replace(b'engine="0"', b'engine="1"')
    assert engine_load(metrics_of(running=3) + second) == EngineLoad(running=4, waiting=0)


def test_a_vllm_that_counts_nothing_says_so() -> None:
    assert engine_load(b"# HELP python_info x\npython_info 1.0\n") is None
    assert engine_load(b"") is None
