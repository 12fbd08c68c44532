"""The parameters of the four requests, each with its fate."""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from api_types import Message, Sampling
from api_types.fields import WHOLE, FiniteJson, LabelKey, LabelValue, ModelRefText, Text
from orchestratord.openai.fates import PASSED, Fate, Refused
from pool_registry_types import ClientModel

_SAMPLING = Sampling.model_fields

TokenCount = Annotated[int, Field(ge=1, le=100_000_000), WHOLE]
Stop = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
Bias = dict[
    Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}$")],
    Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)],
]
User = Annotated[str, StringConstraints(max_length=1024)]
_NO_ACCOUNT = "accounts nobody here, so it changes nothing"


class StreamOptions(ClientModel):
    """`stream_options`."""

    include_usage: Annotated[bool | None, Fate("translated", "one more chunk with `usage`")] = None
    include_obfuscation: Annotated[
        Literal[False] | None, Refused("chunks are not padded", harmless=(False,))
    ] = None


class ChatMessage(Message):
    """A message, as clients send back what they were answered too."""

    refusal: Annotated[None, Refused("the engines have no refusals")] = None
    audio: Annotated[None, Refused("the engines make no audio")] = None
    function_call: Annotated[None, Refused("use tool_calls")] = None
    annotations: Annotated[
        tuple[()] | None, Refused("the engines have no annotations", harmless=([],))
    ] = None


class JsonSchema(ClientModel):
    """`response_format.json_schema`."""

    name: Annotated[str, StringConstraints(max_length=256)]
    description: Annotated[str, StringConstraints(max_length=65_536)] | None = None
    schema_: Annotated[dict[str, FiniteJson], Field(alias="schema")] = Field(default_factory=dict)
    strict: bool | None = None


class TextFormat(ClientModel):
    """`response_format` of free text."""

    type: Literal["text"]


class JsonFormat(ClientModel):
    """`response_format` of any JSON object."""

    type: Literal["json_object"]


class SchemaFormat(ClientModel):
    """`response_format` of JSON after a schema."""

    type: Literal["json_schema"]
    json_schema: JsonSchema


class Function(ClientModel):
    """`tool_choice.function`."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=256)]


class NamedTool(ClientModel):
    """`tool_choice` of one tool."""

    type: Literal["function"]
    function: Function


class _Named(ClientModel):
    model: Annotated[
        ModelRefText | None,
        Fate("translated", "an id, a reference or an alias; may be left out where one is served"),
    ] = None
    user: Annotated[User | None, Fate("accepted", _NO_ACCOUNT)] = None


class _Generating(_Named):
    """What chats and completions share."""

    frequency_penalty: Annotated[_SAMPLING["frequency_penalty"].annotation, PASSED] = None  # type: ignore[valid-type]
