import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artifact_store import ArtifactLimits, ArtifactNotFoundError, InvalidArtifactError
from artifact_store.canonical import artifact_id_of, canonical_bytes, parse_artifact_id

LIMITS = ArtifactLimits()
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
)


@settings(deadline=None)
@given(JSON)
def test_the_canonical_form_reads_back_as_the_same_value(value: Any) -> None:
    assert json.loads(canonical_bytes(value, LIMITS)) == value


@settings(deadline=None)
@given(JSON)
def test_the_canonical_form_of_the_canonical_form_is_itself(value: Any) -> None:
    data = canonical_bytes(value, LIMITS)
    assert canonical_bytes(json.loads(data), LIMITS) == data
    assert parse_artifact_id(artifact_id_of(data)) == artifact_id_of(data)


@settings(deadline=None)
@given(st.dictionaries(TEXT, NUMBERS))
def test_the_order_of_keys_makes_no_difference(value: dict[str, float]) -> None:
    backwards = dict(reversed(value.items()))
    assert canonical_bytes(backwards, LIMITS) == canonical_bytes(value, LIMITS)


@settings(deadline=None)
@given(st.text(max_size=80))
def test_any_other_text_is_no_id(text: str) -> None:
    with pytest.raises(ArtifactNotFoundError):
        parse_artifact_id(text)


def test_a_value_nested_a_hundred_thousand_deep_is_refused_without_recursion() -> None:
    value: Any = 1
    for _ in range(100_000):
        value = [value]
    with pytest.raises(InvalidArtifactError, match="deeper than 64"):
        canonical_bytes(value, LIMITS)
