"""What is told at once is counted before anybody reads."""

import threading
from collections.abc import Sequence

from telemetry_core import Facts, Metrics, Program

TOLD = 5_000


def tokens_out(metrics: Metrics) -> str:
    lines = metrics.expose()[0].decode().splitlines()
    return next(line for line in lines if line.startswith("orchd_tokens_out_total"))


def a_count_of_tokens(metrics: Metrics) -> Facts[int]:
    counter = metrics.counter("orchd_tokens_out_total").labels(pool_id="default")
    return metrics.facts(lambda facts: counter.inc(sum(facts)))


def test_every_reading_holds_all_that_was_told_before_it() -> None:
    metrics = Metrics(Program.ORCHESTRATORD)
    tokens = a_count_of_tokens(metrics)
    for total in range(1, 4):
        tokens.tell(1)
        assert tokens_out(metrics).endswith(f" {total}.0")


def test_what_waits_is_counted_once_and_then_no_longer_kept() -> None:
    seen = list[Sequence[int]]()
    facts = Facts[int](seen.append)
    facts.settle()
    facts.tell(1)
    facts.tell(2)
    facts.settle()
    facts.settle()
    assert seen == [[1, 2]]
    assert facts.waiting == []


def test_what_is_told_while_others_are_counted_is_counted_the_next_time() -> None:
    seen = list[Sequence[int]]()

    def count(batch: Sequence[int]) -> None:
        seen.append(batch)
        if len(seen) == 1:
            facts.tell(2)

    facts = Facts[int](count)
    facts.tell(1)
    facts.settle()
    facts.settle()
    assert seen == [[1], [2]]


def test_no_fact_is_lost_or_counted_twice_when_many_threads_tell_and_read() -> None:
    metrics = Metrics(Program.ORCHESTRATORD)
    tokens = a_count_of_tokens(metrics)
    done = threading.Event()

    def tell() -> None:
        for _ in range(TOLD):
            tokens.tell(1)

    def read() -> None:
        while not done.is_set():
            metrics.settle()

    readers = [threading.Thread(target=read) for _ in range(2)]
    tellers = [threading.Thread(target=tell) for _ in range(3)]
    for thread in readers + tellers:
        thread.start()
    for thread in tellers:
        thread.join()
    done.set()
    for thread in readers:
        thread.join()
    assert tokens_out(metrics).endswith(f" {3.0 * TOLD}")
