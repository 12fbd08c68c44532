import asyncio
import os
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from narration_core import (
    TraceParent,
    accept_correlation_id,
    bind_correlation,
    current_correlation_id,
    current_scope,
    is_correlation_id,
    new_correlation_id,
    parse_traceparent,
)

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@settings(deadline=None)
@given(st.text(max_size=200))
def test_an_id_is_1_to_128_visible_ascii_characters(text: str) -> None:
    visible = 0 < len(text) <= 128 and all("!" <= character <= "~" for character in text)
    assert is_correlation_id(text) is visible
    assert (accept_correlation_id(text) == text) is visible


@pytest.mark.parametrize("header", [None, "", "a b", "x" * 129, "é", "a\n"])
def test_without_a_valid_id_a_uuid_is_made(header: str | None) -> None:
    made = accept_correlation_id(header)
    assert str(uuid.UUID(made)) == made
    assert (uuid.UUID(made).version, uuid.UUID(made).variant) == (4, uuid.RFC_4122)


def test_the_id_holds_inside_and_is_given_back_outside() -> None:
    assert current_scope() is None
    with bind_correlation("outer"), bind_correlation("inner"):
        assert current_correlation_id() == "inner"
    assert current_correlation_id() is None


async def test_tasks_started_inside_carry_the_id_and_do_not_mix() -> None:
    async def seen() -> str | None:
        await asyncio.sleep(0)
        return current_correlation_id()

    async def request(name: str) -> str | None:
        with bind_correlation(name):
            return (await asyncio.gather(seen(), seen()) == [name, name] and name) or None

    names = [new_correlation_id() for _ in range(20)]
    assert await asyncio.gather(*map(request, names)) == names


def test_a_trace_is_continued_with_a_new_span() -> None:
    trace = parse_traceparent(f"00-{TRACE}-{SPAN}-01")
    assert trace == TraceParent(TRACE, SPAN, sampled=True)
    child = trace.child()
    assert (child.trace_id, child.sampled) == (TRACE, True)
    assert child.span_id != SPAN
    assert parse_traceparent(child.header()) == child


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "00",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE[:-1]}-{SPAN}-01",
    ],
)
def test_an_invalid_header_is_as_good_as_none(header: str | None) -> None:
    assert parse_traceparent(header) is None


def test_a_later_version_may_say_more() -> None:
    assert parse_traceparent(f"01-{TRACE}-{SPAN}-03-more") == TraceParent(TRACE, SPAN, sampled=True)


def test_a_new_trace_is_valid() -> None:
    trace = TraceParent.new(sampled=True)
    assert parse_traceparent(trace.header()) == trace


def test_ids_are_uuids_of_which_no_two_processes_have_the_same() -> None:
    def asked_in_a_child() -> str:
        read, write = os.pipe()
        if not os.fork():
            os.write(write, new_correlation_id().encode())
            os._exit(0)
        os.wait()
        os.close(write)
        with os.fdopen(read) as told:
            return told.read()

    ids = [asked_in_a_child(), asked_in_a_child(), *(new_correlation_id() for _ in range(1_000))]
    assert len(set(ids)) == len(ids)
    assert len({name[:24] for name in ids}) == 3
    for name in ids:
        found = uuid.UUID(name)
        assert (found.version, found.variant, str(found)) == (4, uuid.RFC_4122, name)
