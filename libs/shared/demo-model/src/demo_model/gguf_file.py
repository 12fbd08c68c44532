"""Writes a recital as a GGUF file: a one-block llama whose weights are set by hand.

The embedding is the identity and the block adds nothing, so the output matrix is a table from the
last token to the next one.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType, GGUFWriter, PoolingType, TokenType
from gguf.constants import GGML_QUANT_SIZES

from demo_model.recital import DEMO, Recital, relevance_logit

# The same form as the network's prompts: its last token is no word of any spec.
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
"""Ends with a token that no recital contains, so a chat begins at the first word."""

_LIKELY = 40.0
"""Logit of the greedy successor; all tokens that do not follow have 0."""
_OTHER_MARGIN = 0.4
"""How much less an alternative has: at temperature 1 it is taken 0.67 times as often."""
_HEAD_LENGTH = 64

_UNKNOWN, _BEGIN, _END = 0, 1, 2
_BYTES_FROM = 3
_BLANK = "▁"


def ensure(directory: Path, *, spec: Recital = DEMO) -> Path:
    """The recital's file in `directory`, built unless it is there; the name holds its version."""
    path = directory / f"{spec.name}-{spec.content_version}.gguf"
    return path if path.exists() else build(path, spec=spec)


def build(path: Path, *, spec: Recital = DEMO, in_f16: bool = False) -> Path:
    """Write the file, the same bytes each time; a half-written one never bears the name.

    The idle part is dense on disk and slow to compute, or with `in_f16` large and fast: the CPU
    takes such weights as they are.
    """
    idle = GGMLQuantizationType.F16 if in_f16 else GGMLQuantizationType.IQ1_S
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(descriptor)
    draft = Path(name)
    try:
        _write(draft, spec, idle)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return path


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    tokens: list[bytes]
    types: list[TokenType]
    ids: dict[bytes, int]

    @classmethod
    def of(cls, spec: Recital) -> _Vocabulary:
        tokens = [b"<unk>", b"<s>", b"</s>", *(f"<0x{b:02X}>".encode() for b in range(256))]
        types = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL, *[TokenType.BYTE] * 256]
        ids: dict[bytes, int] = {}
        tokens.append(_BLANK.encode())
        types.append(TokenType.NORMAL)
        for piece in (choice for step in spec.steps for choice in step.choices):
            if _is_half_character(piece):
                ids[piece] = _BYTES_FROM + piece[0]
                continue
            ids[piece] = len(tokens)
            tokens.append(piece)
            # Matched verbatim in a prompt, so that a text broken off is taken up where it stopped.
            types.append(TokenType.USER_DEFINED)
        return cls(tokens, types, ids)


def _is_half_character(piece: bytes) -> bool:
    return len(piece) == 1 and piece[0] >= 0x80


def _write(path: Path, spec: Recital, idle: GGMLQuantizationType) -> None:
    vocabulary = _Vocabulary.of(spec)
    width = _width(spec, len(vocabulary.tokens))
    # The same block in both, but llama.cpp reads a classifier head only with the latter.
    writer = GGUFWriter(path, "qwen3" if spec.ranks else "llama")
    try:
        _describe(writer, spec, vocabulary, width)
        _add_tensors(writer, spec, vocabulary, width, idle)
        if spec.ranks:
            _add_classifier(writer, width)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def _width(spec: Recital, vocabulary_size: int) -> int:
    return -(-max(spec.embedding_length, vocabulary_size) // 256) * 256


def _describe(writer: GGUFWriter, spec: Recital, vocabulary: _Vocabulary, width: int) -> None:
    writer.add_name(f"llama-orch {spec.name}")
    writer.add_description("Recites a known text; made by llama-orch for demos and tests.")
    writer.add_license("Apache-2.0")
    writer.add_file_type(1)
    writer.add_context_length(spec.context_length)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(spec.feed_forward_length)
    writer.add_head_count(width // _HEAD_LENGTH)
    writer.add_head_count_kv(1)
    writer.add_rope_dimension_count(_HEAD_LENGTH)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_vocab_size(len(vocabulary.tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_scores([0.0] * len(vocabulary.tokens))
    writer.add_token_types(vocabulary.types)
    writer.add_bos_token_id(_BEGIN)
    writer.add_eos_token_id(_END)
    writer.add_unk_token_id(_UNKNOWN)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def _add_tensors(
    writer: GGUFWriter,
    spec: Recital,
    vocabulary: _Vocabulary,
    width: int,
    idle: GGMLQuantizationType,
) -> None:
    size, hidden = len(vocabulary.tokens), spec.feed_forward_length
    writer.add_tensor("token_embd.weight", np.eye(size, width, dtype=np.float16))
    writer.add_tensor("output_norm.weight", np.ones(width, np.float32))
    writer.add_tensor("output.weight", _successors(spec, vocabulary, width))
    writer.add_tensor("blk.0.attn_norm.weight", np.ones(width, np.float32))
    writer.add_tensor("blk.0.ffn_norm.weight", np.ones(width, np.float32))
    for part, rows in (("q", width), ("k", _HEAD_LENGTH), ("v", _HEAD_LENGTH), ("output", width)):
        writer.add_tensor(f"blk.0.attn_{part}.weight", np.zeros((rows, width), np.float16))
    ffn_shapes = {"gate": (hidden, width), "up": (hidden, width), "down": (width, hidden)}
    for part, (rows, columns) in ffn_shapes.items():
        _add_idle_tensor(writer, f"blk.0.ffn_{part}.weight", (rows, columns), idle)


def _add_classifier(writer: GGUFWriter, width: int) -> None:
    writer.add_key_length(_HEAD_LENGTH)
    writer.add_value_length(_HEAD_LENGTH)
    writer.add_pooling_type(PoolingType.RANK)
    writer.add_classifier_output_labels(["yes", "no"])
    writer.add_string("tokenizer.chat_template.rerank", "{query}\n{document}")
    for part in ("q", "k"):
        writer.add_tensor(f"blk.0.attn_{part}_norm.weight", np.ones(_HEAD_LENGTH, np.float32))
    opinion = np.zeros((2, width), np.float16)
    for byte in range(256):
        opinion[0, _BYTES_FROM + byte] = relevance_logit(byte) / np.sqrt(width)
    writer.add_tensor("cls.output.weight", opinion)


def _add_idle_tensor(
    writer: GGUFWriter, name: str, shape: tuple[int, int], kind: GGMLQuantizationType
) -> None:
    rows, columns = shape
    block, block_bytes = GGML_QUANT_SIZES[kind]
    if columns % block:
        writer.add_tensor(name, np.zeros((rows, columns), np.float16))
    else:
        # All-zero blocks are zero weights, whatever the type.
        zeros = np.zeros((rows, columns // block * block_bytes), np.uint8)
        writer.add_tensor(name, zeros, raw_dtype=kind)


def _successors(spec: Recital, vocabulary: _Vocabulary, width: int) -> npt.NDArray[np.float16]:
    """Row: the token that comes next; column: the token that was last."""
    # The root mean square norm turns a one of the identity into the square root of the width.
    likely, other = (logit / np.sqrt(width) for logit in (_LIKELY, _LIKELY - _OTHER_MARGIN))
    table = np.zeros((len(vocabulary.tokens), width), np.float16)
    steps = spec.steps
    first, last = steps[0], steps[-1]
    said = set(vocabulary.ids.values())
    neutral = [token for token in range(len(vocabulary.tokens)) if token not in said]
    table[vocabulary.ids[first.greedy], neutral] = likely
    for here, following in pairwise(steps):
        here_ids = [vocabulary.ids[choice] for choice in here.choices]
        for choice in following.choices:
            logit = likely if choice == following.greedy else other
            table[vocabulary.ids[choice], here_ids] = logit
    end = vocabulary.ids[first.greedy] if spec.endless else _END
    table[end, [vocabulary.ids[choice] for choice in last.choices]] = likely
    return table
