"""What is counted of answers."""

from telemetry_core import MANY, AnsweredRequests, Metrics, Program


def answers_of(metrics: Metrics) -> AnsweredRequests:
    return AnsweredRequests(
        metrics, requests="orchd_http_requests_total", durations="orchd_http_request_duration_ms"
    )


def lines(metrics: Metrics, name: str) -> list[str]:
    text = metrics.expose()[0].decode()
    return [line for line in text.splitlines() if line.startswith(name)]


def test_answers_are_counted_by_kind_and_durations_by_route() -> None:
    metrics = Metrics(Program.ORCHESTRATORD)
    answers = answers_of(metrics)
    for status in (200, 200, 429):
        answers.request_finished("/a", method="POST", status=status, duration_ms=5.0)
    answers.request_finished("/b", method="GET", status=200, duration_ms=7.0)
    counted = lines(metrics, "orchd_http_requests_total")
    assert [line.rsplit(" ", 1)[1] for line in counted] == ["2.0", "1.0", "1.0"]
    assert 'status="429"' in counted[1]
    sums = lines(metrics, "orchd_http_request_duration_ms_sum")
    assert sorted(line.rsplit(" ", 1)[1] for line in sums) == ["15.0", "7.0"]


def test_answers_do_not_wait_for_a_reader_without_end() -> None:
    metrics = Metrics(Program.ORCHESTRATORD)
    answers = answers_of(metrics)
    other = list[int]()
    facts = metrics.facts(other.extend)
    facts.tell(1)
    for _ in range(MANY):
        answers.request_finished("/a", method="GET", status=200, duration_ms=1.0)
    assert other == [1]
