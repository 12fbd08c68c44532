"""The conformance kit is no rubber stamp: adapters with one flaw each fail their check."""

from dataclasses import replace

import pytest

from adapter_api import EngineEvent, EngineFinish, EngineRequest, EventSink, Tokens, conformance
from adapter_api.conformance import Check, Course
from mock_adapter import MockAdapter

from .test_conformance import ScriptedMock


class Flawed(MockAdapter):
    """Does as its script says, but for one flaw."""

    def __init__(self, flaw: str) -> None:
        super().__init__()
        self._flaw = flaw

    async def run(self, request: EngineRequest, sink: EventSink) -> EngineFinish:
        held: list[EngineEvent] = []
        finish = await super().run(request, held.append)
        tokens = [event for event in held if isinstance(event, Tokens)]
        if self._flaw == "loses":
            tokens = tokens[:-1]
        elif self._flaw == "swaps":
            tokens.reverse()
        for event in tokens:
            sink(event)
        if self._flaw == "counts pieces":
            return replace(finish, tokens_out=len(tokens))
        if self._flaw == "always stops":
            return replace(finish, finish_reason="stop")
        return finish


@pytest.mark.parametrize(
    ("flaw", "check"),
    [
        ("loses", conformance.the_text_arrives_whole_and_in_order),
        ("swaps", conformance.the_text_arrives_whole_and_in_order),
        ("swaps", conformance.the_text_survives_any_split_of_the_bytes),
        ("counts pieces", conformance.the_counts_are_the_engines_own),
        ("always stops", conformance.the_finish_reason_is_told),
    ],
)
async def test_a_flaw_fails_its_check(flaw: str, check: Check) -> None:
    engine = ScriptedMock()
    engine.mock = Flawed(flaw)
    with pytest.raises(AssertionError):
        await check(engine)


async def test_an_adapter_that_hides_a_failure_is_caught() -> None:
    class Deaf(ScriptedMock):
        def follow(self, course: Course) -> None:
            super().follow(replace(course, ending=conformance.Ending.FINISH))

    with pytest.raises(AssertionError, match="for a success"):
        await conformance.a_stream_that_breaks_is_a_reset(Deaf())
