"""The parameters of the four requests, each with its fate."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from api_types import Message
from api_types.fields import WHOLE, FiniteJson, LabelKey, LabelValue, ModelRefText, Text
from orchestratord.openai.fates import Accepted, Ours, Passed, Refused, Translated
from pool_registry_types import ClientModel

TokenCount = Annotated[int, Field(ge=1, le=100_000_000), WHOLE]
Number = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Penalty = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
StopText = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
Stop = StopText | Annotated[tuple[StopText, ...], Field(max_length=16)]
Seed = Annotated[int, Field(ge=0, le=4_294_967_294), WHOLE]
Biases = Annotated[
    dict[Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}$")], Penalty],
    Field(max_length=1024, json_schema_extra={"additionalProperties": False}),
]
Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Texts = Annotated[list[Text], Field(min_length=1, max_length=2048)]
Note = Annotated[str, StringConstraints(max_length=1024)]

_NO_ACCOUNTS = "nobody is counted or billed by it"
_ENGINE_DEFAULT = "left out, the engine's own default holds"


def _no_token_ids(value: object) -> object:
    flat = value[0] if isinstance(value, list) and value and isinstance(value[0], list) else value
    if isinstance(flat, list) and any(isinstance(item, int) for item in flat):
        raise ValueError(
            "token ids cannot be honoured here: each model has its own, so send the text"
        )
    return value


NO_TOKEN_IDS = BeforeValidator(_no_token_ids)


class StreamOptions(ClientModel):
    """`stream_options`."""

    include_usage: Annotated[bool | None, Translated("a last chunk with the usage")] = None
    include_obfuscation: Annotated[
        Literal[False] | None, Refused("chunks are not padded", harmless=(False,))
    ] = None


class ChatMessage(Message):
    """A message; one that was an answer may be sent back as it came."""

    refusal: Annotated[None, Refused("the engines have no refusals")] = None
    audio: Annotated[None, Refused("the engines have no audio")] = None
    function_call: Annotated[None, Refused("use tool_calls")] = None
    annotations: Annotated[
        tuple[()] | None, Refused("the engines have no annotations", harmless=([],))
    ] = None


class JsonSchema(ClientModel):
    """`response_format.json_schema`."""

    name: Name | None = None
    description: Annotated[str, StringConstraints(max_length=65_536)] | None = None
    schema_: Annotated[dict[str, FiniteJson], Field(alias="schema")]
    strict: bool | None = None


class TextFormat(ClientModel):
    """`response_format`: free text."""

    type: Literal["text"]


class JsonFormat(ClientModel):
    """`response_format`: any JSON object."""

    type: Literal["json_object"]


class SchemaFormat(ClientModel):
    """`response_format`: JSON after a schema."""

    type: Literal["json_schema"]
    json_schema: JsonSchema


class FunctionName(ClientModel):
    """`tool_choice.function`."""

    name: Name


class NamedTool(ClientModel):
    """`tool_choice`: one tool."""

    type: Literal["function"]
    function: FunctionName


class NamingRequest(ClientModel):
    """What all four requests have."""

    model: Annotated[
        ModelRefText | None, Translated("an id, a reference or an alias; optional if one is served")
    ] = None


class GeneratingRequest(NamingRequest):
    """What chats and completions share."""

    frequency_penalty: Annotated[Penalty | None, Passed()] = None
    grammar: Annotated[
        Annotated[str, StringConstraints(min_length=1, max_length=262_144)] | None, Ours("GBNF")
    ] = None
    logit_bias: Annotated[Biases | None, Passed()] = None
    max_tokens: Annotated[
        TokenCount | None, Passed("left out, the text ends by itself or at the context's end")
    ] = None
    min_p: Annotated[Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None, Ours()] = None
    n: Annotated[Literal[1] | None, Refused("one choice a request", harmless=(1,))] = None
    presence_penalty: Annotated[Penalty | None, Passed()] = None
    repeat_penalty: Annotated[Number | None, Ours()] = None
    seed: Annotated[Seed | None, Passed("0 to 4294967294; left out, one is drawn")] = None
    stop: Annotated[Stop | None, Passed("a text or up to 16")] = None
    stream: Annotated[bool | None, Translated("chunks as server-sent events")] = None
    stream_options: Annotated[StreamOptions | None, Translated("needs `stream`")] = None
    temperature: Annotated[Number | None, Passed(_ENGINE_DEFAULT)] = None
    top_k: Annotated[Annotated[int, Field(ge=0, le=1_000_000), WHOLE] | None, Ours()] = None
    top_p: Annotated[Share | None, Passed(_ENGINE_DEFAULT)] = None
    user: Annotated[Note | None, Accepted(_NO_ACCOUNTS)] = None


class UsualChat(GeneratingRequest):
    """What most chats are made of: what is valid here is so in a `ChatRequest`, and means the same.

    Its messages are those of a task already.
    """

    messages: Annotated[
        Annotated[tuple[Message, ...], Field(min_length=1, max_length=4096)],
        Passed("through the engine's own chat template; parts that are not text are refused"),
    ]
    max_completion_tokens: Annotated[
        TokenCount | None, Translated("max_tokens by its other name")
    ] = None


class ChatRequest(UsualChat):
    """`POST /v1/chat/completions`."""

    messages: Annotated[
        Annotated[tuple[ChatMessage, ...], Field(min_length=1, max_length=4096)],
        Passed("through the engine's own chat template; parts that are not text are refused"),
    ]
    audio: Annotated[None, Refused("the engines make no audio")] = None
    function_call: Annotated[None, Refused("use tool_choice")] = None
    functions: Annotated[None, Refused("use tools")] = None
    logprobs: Annotated[bool | None, Translated("the engine is asked for `top_logprobs`")] = None
    metadata: Annotated[
        Annotated[dict[LabelKey, LabelValue], Field(max_length=16)] | None,
        Translated("labels of the task"),
    ] = None
    modalities: Annotated[
        tuple[Literal["text"]] | None, Refused("the engines make text", harmless=(["text"],))
    ] = None
    moderation: Annotated[None, Refused("nothing here moderates")] = None
    parallel_tool_calls: Annotated[
        Literal[False] | None,
        Refused("engines are asked for one call at a time", harmless=(False,)),
    ] = None
    prediction: Annotated[None, Refused("no engine here takes a predicted text")] = None
    prompt_cache_key: Annotated[
        Note | None, Accepted("a hint; `X-Session-Id` keeps a conversation at its cache")
    ] = None
    prompt_cache_options: Annotated[None, Refused("the engine keeps its cache by itself")] = None
    prompt_cache_retention: Annotated[None, Refused("the engine keeps its cache by itself")] = None
    reasoning_effort: Annotated[None, Refused("it is the chat template's own affair")] = None
    response_format: Annotated[
        TextFormat | JsonFormat | SchemaFormat | None,
        Field(discriminator="type"),
        Translated("a grammar that the engine enforces, `strict` or not"),
    ] = None
    safety_identifier: Annotated[Note | None, Accepted(_NO_ACCOUNTS)] = None
    service_tier: Annotated[
        Literal["auto", "default"] | None,
        Refused("use the header X-Priority", harmless=("auto", "default")),
    ] = None
    store: Annotated[
        Literal[False] | None, Refused("nothing is kept to be fetched later", harmless=(False,))
    ] = None
    tool_choice: Annotated[
        Literal["auto", "none", "required"] | NamedTool | None,
        Translated("passed on; of a named tool: only this one is offered, and required"),
    ] = None
    tools: Annotated[
        Annotated[tuple[dict[str, FiniteJson], ...], Field(min_length=1, max_length=128)] | None,
        Passed("refused by the engine if the model's template has no tools"),
    ] = None
    top_logprobs: Annotated[
        Annotated[int, Field(ge=0, le=20), WHOLE] | None, Translated("needs `logprobs`")
    ] = None
    verbosity: Annotated[None, Refused("ask for it in a message")] = None
    web_search_options: Annotated[None, Refused("nothing here searches the web")] = None


class CompletionRequest(GeneratingRequest):
    """`POST /v1/completions`."""

    prompt: Annotated[
        Text | Annotated[list[Text], Field(min_length=1, max_length=1)],
        NO_TOKEN_IDS,
        Passed("one text; several, and token ids, are refused"),
    ]
    best_of: Annotated[Literal[1] | None, Refused("one choice a request", harmless=(1,))] = None
    echo: Annotated[
        Literal[False] | None, Refused("put the prompt before the answer", harmless=(False,))
    ] = None
    logprobs: Annotated[
        Annotated[int, Field(ge=0, le=20), WHOLE] | None, Translated("up to 20")
    ] = None
    suffix: Annotated[None, Refused("no engine here fills in the middle")] = None


class EmbeddingRequest(NamingRequest):
    """`POST /v1/embeddings`."""

    input: Annotated[
        Text | Texts,
        NO_TOKEN_IDS,
        Translated("inputs of the task; token ids are refused, since each model has its own"),
    ]
    dimensions: Annotated[None, Refused("vectors are as long as the model makes them")] = None
    encoding_format: Annotated[
        Literal["float", "base64"] | None, Translated("base64 of 32-bit floats")
    ] = None
    user: Annotated[Note | None, Accepted(_NO_ACCOUNTS)] = None


class TextDocument(ClientModel):
    """A document of a rerank request."""

    text: Text


class RerankRequest(NamingRequest):
    """`POST /v1/rerank`, as Jina and Cohere have it."""

    query: Annotated[Text, Passed()]
    documents: Annotated[
        Annotated[tuple[Text | TextDocument, ...], Field(min_length=1, max_length=2048)],
        Translated("inputs of the task"),
    ]
    max_tokens_per_doc: Annotated[None, Refused("documents are taken whole")] = None
    rank_fields: Annotated[None, Refused("documents are texts")] = None
    return_documents: Annotated[bool | None, Translated("the texts come back")] = None
    top_n: Annotated[
        Annotated[int, Field(ge=1, le=100_000_000), WHOLE] | None, Translated("the best of all")
    ] = None


class EdgeHeaders(ClientModel):
    """What a request may say besides its body."""

    priority: Annotated[Literal["interactive", "batch"], Field(alias="X-Priority")] = "interactive"
    session_id: Annotated[
        Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")] | None,
        Field(alias="X-Session-Id"),
    ] = None
    deadline_ms: Annotated[
        Annotated[int, Field(ge=1, le=86_400_000)] | None, Field(alias="X-Deadline-Ms")
    ] = None
