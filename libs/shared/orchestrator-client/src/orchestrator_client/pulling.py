"""Reads the stream of a pull: its progress, and at last the model."""

from collections.abc import AsyncGenerator

from pydantic import ValidationError

from api_types import HTTP_STATUS, ErrorBody, ModelView, PreparationStep
from orchestrator_client.errors import ConnectionLost, ProtocolError, status_error
from orchestrator_client.sse import SseFrame, SseParser
from orchestrator_client.transport import Call, Transport


async def follow_pull(
    transport: Transport, call: Call
) -> AsyncGenerator[PreparationStep | ModelView]:
    """Yield the steps as they come; the model is last.

    Leaving early ends the fetch, unless others wait for it. A cut is told: asking again goes on
    with what has arrived.
    """
    parser = SseParser()
    async with transport.stream(call) as read:
        while chunk := await read():
            for frame in parser.feed(chunk):
                item = _read(frame)
                if item is not None:
                    yield item
                if isinstance(item, ModelView):
                    return
    raise ConnectionLost(f"{call.path} was closed before the model was there")


def _read(frame: SseFrame) -> PreparationStep | ModelView | None:
    try:
        match frame.event:
            case "progress":
                return PreparationStep.model_validate_json(frame.data)
            case "model":
                return ModelView.model_validate_json(frame.data)
            case "error":
                told = ErrorBody.model_validate_json(frame.data)
            case _:
                return None
    except ValidationError as error:
        raise ProtocolError(f"an event {frame.event!r} that is not of the contract") from error
    raise status_error(HTTP_STATUS[told.code], {}, told.model_dump_json().encode())
