from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog_core import (
    HubLocation,
    Location,
    ModelRef,
    ModelReferenceError,
    ObjectLocation,
    RegistryLocation,
    WebLocation,
    derive_model_id,
)
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


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("https://h/a/m.gguf?x=1", WebLocation("https://h/a/m.gguf?x=1")),
        ("http://127.0.0.1:80/m.gguf", WebLocation("http://127.0.0.1:80/m.gguf")),
        ("hf:org/name", HubLocation("org/name", None, None)),
        ("hf:org/name@v1.0", HubLocation("org/name", "v1.0", None)),
        ("hf:org/name/q4/m.gguf", HubLocation("org/name", None, "q4/m.gguf")),
        ("s3:b/k/m.gguf", ObjectLocation("b", "k/m.gguf")),
        ("gs:b/folder/", ObjectLocation("b", "folder/")),
        ("oci:r:5000/i/j:tag", RegistryLocation("r:5000", "i/j", "tag", None)),
        (
            f"oci:r/i@sha256:{'0' * 64}",
            RegistryLocation("r", "i", None, f"sha256:{'0' * 64}"),
        ),
    ],
)
def test_sources_are_taken_apart(text: str, place: Location) -> None:
    ref = ModelRef.parse(text)
    assert (str(ref), ref.place) == (text, place)
    with pytest.raises(ModelReferenceError, match="only a file: reference is a path"):
        ref.resolve(BASE)


def test_one_source_has_one_reference() -> None:
    assert ModelRef.parse("s3://b/k") == ModelRef.parse("s3:b/k")


@pytest.mark.parametrize(
    "text",
    [
        "https://user:secret@h/m.gguf",
        "https:h/m.gguf",
        "https://h/",
        "https://h:x/m.gguf",
        "https://h/a/..",
        "hf:name",
        "hf:org/name/../m.gguf",
        "hf:org/name//m.gguf",
        "s3:bucket",
        "s3:b/../k",
        "oci:Repository",
        "oci:r/i@sha256:0",
    ],
)
def test_a_source_that_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(ModelReferenceError):
        ModelRef.parse(text)


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
        ("Big-00002-of-00003.gguf", "big"),
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
