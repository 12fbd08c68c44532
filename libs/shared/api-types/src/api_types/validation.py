"""What a client sent → a valid model, or an error that says what is wrong and what is allowed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from api_types.errors import ApiError, ErrorCode

M = TypeVar("M", bound=BaseModel)
Details = Mapping[str, Any]
"""One entry of `ValidationError.errors()`."""

SHOWN_PROBLEMS = 8
SHOWN_NAME_CHARS = 64
SHOWN_INT_MAX = 10**18
BRANCHES = frozenset({"str", "constrained-str", "int", "float", "bool"})
"""What pydantic calls a plain member of a union in the place of an error."""


def parse_json(model: type[M], raw: bytes) -> M:
    """Return the body as `model`. Types are strict: `"5"` is no number. Raises ApiError."""
    try:
        return model.model_validate_json(raw, strict=True)
    except ValidationError as error:
        raise problem(error, model) from None


def parse_query(model: type[M], pairs: Iterable[tuple[str, str]]) -> M:
    """Return the decoded query as `model`; a name given twice is an error. Raises ApiError."""
    values: dict[str, str] = {}
    for name, value in pairs:
        if name in values:
            raise ApiError(ErrorCode.INVALID_PARAMS, f"{_shown(name)}: given more than once")
        values[name] = value
    try:
        return model.model_validate_strings(values)
    except ValidationError as error:
        raise problem(error, model) from None


def problem(error: ValidationError, model: type[BaseModel] | None = None) -> ApiError:
    """Return the INVALID_PARAMS of a failed validation.

    It names the path of each field, what is allowed and what kind of value came; never a text
    that came, since that may be a prompt. With `model` an unknown field is answered with the
    nearest known one.
    """
    details = _causes(error.errors(include_url=False))
    lines = list(dict.fromkeys(_line(detail, model) for detail in details))
    more = len(lines) - SHOWN_PROBLEMS
    message = "; ".join(lines[:SHOWN_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")
    nearest = tuple(dict.fromkeys(name for d in details for name in _nearest(d, model)))
    return ApiError(
        ErrorCode.INVALID_PARAMS,
        message,
        hint=f"did you mean {' or '.join(nearest)}?" if nearest else None,
        candidates=nearest or None,
    )


def _causes(details: Sequence[Details]) -> list[Details]:
    """Leave out "too short" of a list whose items are what is wrong."""
    inner = {detail["loc"][:end] for detail in details for end in range(len(detail["loc"]))}
    return [d for d in details if d["type"] != "too_short" or d["loc"] not in inner]


def _line(detail: Details, model: type[BaseModel] | None) -> str:
    path = _path(detail, model)
    match detail["type"]:
        case "extra_forbidden":
            text = "there is no such field"
        case "missing":
            text = "this field is required"
        case "value_error":
            text = str(detail["ctx"]["error"])
        case "json_invalid":
            text = f"the body is no valid JSON: {detail['ctx']['error']}"
        case "uuid_parsing":
            text = f"should be a UUID, got {_kind(detail['input'])}"
        case _:
            allowed = detail["msg"][:1].lower() + detail["msg"][1:]
            text = f"{allowed}, got {_kind(detail['input'])}"
    return f"{path}: {text}" if path else text


def _path(detail: Details, model: type[BaseModel] | None) -> str:
    """Return `messages[0].content`, without the branches of unions that pydantic adds."""
    path = ""
    here: Any = model
    last = len(detail["loc"]) - 1 if detail["type"] == "extra_forbidden" else None
    for at, part in enumerate(detail["loc"]):
        if isinstance(part, int):
            path += f"[{part}]"
        elif at == last or not _is_branch(here, part):
            path += f".{_shown(part)}" if path else _shown(part)
        here = _annotation(here, part)
    return path


def _is_branch(here: Any, part: str) -> bool:
    """Tell a branch of a union (`str`, `dict[str,json]`) from a field or the key of a mapping."""
    if any(part in owner.model_fields for owner in _models_in(here)):
        return False
    return "[" in part or (part in BRANCHES and not _has_mapping(here))


def _nearest(detail: Details, model: type[BaseModel] | None) -> list[str]:
    if detail["type"] != "extra_forbidden" or model is None:
        return []
    *parents, name = detail["loc"]
    known = sorted({field for owner in _owners(parents, model) for field in owner.model_fields})
    return get_close_matches(str(name)[:SHOWN_NAME_CHARS], known, n=1)


def _owners(loc: Iterable[int | str], model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    here: Any = model
    for part in loc:
        here = _annotation(here, part)
    return _models_in(here)


def _annotation(here: Any, part: int | str) -> Any:
    """Return the annotation of the field `part`; an index or a branch stays where it is."""
    for owner in _models_in(here):
        if isinstance(part, str) and part in owner.model_fields:
            return owner.model_fields[part].annotation
    return here


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and get_origin(annotation) is None:
        if issubclass(annotation, BaseModel):
            yield annotation
    else:
        for inner in get_args(annotation):
            yield from _models_in(inner)


def _has_mapping(annotation: Any) -> bool:
    return get_origin(annotation) is dict or any(map(_has_mapping, get_args(annotation)))


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value) if abs(value) < SHOWN_INT_MAX else "a huge integer"
        case float():
            return str(value)
        case str():
            return f"a string of {len(value)} characters"
        case list() | tuple():
            return f"a list of {len(value)}"
        case dict():
            return "an object"
        case _:
            return type(value).__name__


def _shown(name: str) -> str:
    printable = name if name.isprintable() else ascii(name)[1:-1]
    return printable if len(printable) <= SHOWN_NAME_CHARS else printable[:SHOWN_NAME_CHARS] + "…"
