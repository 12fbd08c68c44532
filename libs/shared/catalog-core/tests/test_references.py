from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog_core import ModelRef, ModelReferenceError, RefScheme, derive_model_id
from catalog_core.references import MODEL_ID_PATTERN

BASE = Path("/models")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("file:/a/b.gguf", "/a/b.gguf"),
        ("file:b.gguf", "/models/b.gguf"),
        ("file:sub/../b.gguf", "/models/b.gguf"),
        ("file:///a%20b.gguf", "/a b.gguf"),
        ("file://localhost/b.gguf", "/b.gguf"),
        ("b.gguf", "/models/b.gguf"),
        ("./b", "/models/b"),
        ("/a/b:c.gguf", "/a/b:c.gguf"),
    ],
)
def test_files_are_named_in_several_ways(text: str, path: str) -> None:
    assert ModelRef.parse(text).resolve(BASE) == Path(path)


@pytest.mark.parametrize("text", ["hf:org/name", "https://h/m.gguf", "s3:b/k", "oci:r/i:tag"])
def test_other_schemes_are_known_but_not_fetched(text: str) -> None:
    ref = ModelRef.parse(text)
    assert ref.scheme in RefScheme
    assert str(ref) == text
    with pytest.raises(ModelReferenceError, match=f"does not fetch from {ref.scheme}:, only from"):
        ref.resolve(BASE)


@pytest.mark.parametrize(
    "text", ["", "llama", "ftp:x", "file:", "hf:", "a\0b.gguf", "x" * 5000, "file://host/a.gguf"]
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(ModelReferenceError):
        ModelRef.parse(text)


@given(st.text(max_size=60))
def test_any_text_is_a_reference_or_a_typed_refusal(text: str) -> None:
    try:
        ref = ModelRef.parse(text)
    except ModelReferenceError:
        return
    assert ModelRef.parse(str(ref)) == ref


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Qwen3-8B-Q4_K_M.gguf", "qwen3-8b-q4_k_m"),
        ("Modèle (final) v2.GGUF", "modele-final-v2"),
        ("模型.gguf", "model"),
        ("...gguf", "model"),
    ],
)
def test_ids_are_readable(name: str, expected: str) -> None:
    assert derive_model_id(name) == expected


@given(st.text(max_size=100), st.integers(0, 12))
def test_ids_are_valid_and_new(name: str, times: int) -> None:
    taken: list[str] = []
    for _ in range(times):
        taken.append(derive_model_id(name, taken))
    assert len(set(taken)) == times
    assert all(MODEL_ID_PATTERN.fullmatch(each) for each in taken)
