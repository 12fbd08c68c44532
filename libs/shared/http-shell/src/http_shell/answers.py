"""How answers are written."""

from collections.abc import Mapping

from aiohttp import web
from pydantic import BaseModel

from api_types import JSON


def json_answer(
    model: BaseModel, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Write a model as JSON that no cache keeps."""
    return web.Response(
        status=status,
        headers={"Cache-Control": "no-store", **(headers or {})},
        body=model.model_dump_json().encode(),
        content_type=JSON,
    )
