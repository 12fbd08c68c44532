"""What somebody is told who names a model that is not known."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches

from api_types import ApiError, ErrorCode


def unknown_model(
    asked: str,
    *,
    before: str,
    after: str = "",
    ids: Collection[str],
    references: Collection[str] = (),
    aliases: Mapping[str, str],
    hint: str | None = None,
) -> ApiError:
    """Return MODEL_NOT_FOUND with the near names: ids, and the aliases of what is known.

    `before` and `after` stand around the name; without `hint` all names are told where none is
    near.
    """
    meant = aliases.get(asked, asked)
    alias = "" if meant == asked else f", an alias of {meant!r}{',' if after else ''}"
    known = {*ids, *references}
    names = sorted({*ids, *(name for name, model in aliases.items() if model in known)})
    near = tuple(get_close_matches(asked, names, n=5, cutoff=0.4))
    otherwise = f"known: {', '.join(names)}" if hint is None else hint
    return ApiError(
        ErrorCode.MODEL_NOT_FOUND,
        f"{before} {asked[:200]!r}{alias}{after}",
        hint=f"near names: {', '.join(near)}" if near else otherwise,
        candidates=near or None,
    )
