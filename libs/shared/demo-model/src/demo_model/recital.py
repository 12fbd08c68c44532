"""What the model says: a text as a chain of tokens, with other words offered on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from functools import cached_property
from itertools import chain, cycle, islice
from math import exp

FORMAT_VERSION = 1
"""Goes up when the same recital makes a different file."""


@dataclass(frozen=True, slots=True)
class Step:
    """One token of the text; `others` may stand in its place when the sampler is warm.

    A token that is not UTF-8 by itself is one byte of a longer character.
    """

    greedy: bytes
    others: tuple[bytes, ...] = ()

    @property
    def choices(self) -> tuple[bytes, ...]:
        """Every token that may stand here, the greedy one first."""
        return (self.greedy, *self.others)


@dataclass(frozen=True)
class Recital:
    """A text and the size of the network that recites it.

    In `text` a blank separates tokens, `~` is a blank inside a token, and `{a|b|c}` offers
    alternatives of which greedy decoding takes the first. The next token follows from the last
    one alone, so no token may occur twice. Characters beyond the basic plane become byte tokens.
    """

    name: str
    text: str
    endless: bool = False
    embedding_length: int = 0
    """Width of the network; what the vocabulary needs if that is more. Slows prompt and decode."""
    feed_forward_length: int = 32
    """Width of the idle feed-forward part, computed for sampled tokens only. Slows decode."""
    context_length: int = 32_768
    ranks: bool = False
    """Adds a classifier head that judges a document by its last byte: `expected_relevance`."""

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """The tokens of the text in order, without the end-of-sequence token."""
        return tuple(_steps(self.text, endless=self.endless))

    @cached_property
    def pieces(self) -> tuple[bytes, ...]:
        """The tokens that greedy decoding yields, one round of them if the recital is endless."""
        return tuple(step.greedy for step in self.steps)

    def expected_text(self, max_tokens: int | None = None) -> str:
        """Exactly the text of greedy decoding; half a character at the end is not shown."""
        if self.endless and max_tokens is None:
            msg = f"{self.name!r} never ends: max_tokens is needed to say what it recites"
            raise ValueError(msg)
        rounds = cycle(self.pieces) if self.endless else iter(self.pieces)
        return b"".join(islice(rounds, max_tokens)).decode(errors="ignore")

    def ends_within(self, max_tokens: int) -> bool:
        """Whether the end-of-sequence token comes by itself before the limit does."""
        return not self.endless and max_tokens > len(self.pieces)

    def may_say(self, text: str) -> bool:
        """Whether a warm sampler can have produced this text, seen from the first word."""
        steps = cycle(self.steps) if self.endless else iter(self.steps)
        readings = {text.encode()}
        for step in steps:
            if any(choice.startswith(rest) for rest in readings for choice in step.choices):
                return True
            readings = {
                rest.removeprefix(choice)
                for rest in readings
                for choice in step.choices
                if rest.startswith(choice)
            }
            if not readings:
                return False
        return b"" in readings

    @property
    def content_version(self) -> str:
        """Short digest of all that decides the file's bytes."""
        return hashlib.sha256(repr((FORMAT_VERSION, astuple(self))).encode()).hexdigest()[:10]


def expected_relevance(document: str) -> float:
    """The score that a recital with `ranks` gives a document, whatever the query.

    It holds for documents that end with a byte no recital's token ends in, such as a digit.
    """
    return 1 / (1 + exp(-relevance_logit(document.encode()[-1])))


def relevance_logit(byte: int) -> float:
    """How much the classifier prefers `yes` for a document that ends with this byte."""
    return (byte - 64) / 16


def _steps(text: str, *, endless: bool) -> Iterator[Step]:
    found: list[Step] = []
    for index, word in enumerate(text.split()):
        choices = tuple(choice.replace("~", " ") for choice in _alternatives(word))
        if max(word) > "\uffff":
            # The blank joins the token before, so that a blank in a prompt stays neutral.
            found[-1] = Step(found[-1].greedy + b" ", tuple(o + b" " for o in found[-1].others))
            found.extend(Step(bytes([byte])) for byte in choices[0].encode())
            continue
        blank = " " if index else ""
        first, *others = (f"{blank}{choice}".encode() for choice in choices)
        found.append(Step(first, tuple(others)))
    if endless:
        found.append(Step(b"\n\n"))
    tokens = list(chain.from_iterable(step.choices for step in found))
    twice = {token for token in tokens if tokens.count(token) > 1}
    if twice:
        msg = f"tokens occur twice, so their successor is ambiguous: {sorted(twice)}"
        raise ValueError(msg)
    return iter(found)


def _alternatives(word: str) -> list[str]:
    head, brace, rest = word.partition("{")
    if not brace:
        return [word]
    inner, _, tail = rest.partition("}")
    return [f"{head}{choice}{tail}" for choice in inner.split("|")]


_TEXT = """
Hello! I~am the~small~model that llama-orch {builds|makes|bakes} for~itself, so~you
{can|may|could} {watch|follow|trace} the~whole~path of~one~task {before|until|while} any real
weights {arrive|land|appear}. Your~prompt {entered|joined|reached} a~bounded~queue,
{waited|stood|rested} its turn, and~was~bound to~a~replica {only|just|precisely} when~a~slot
{became|fell|was} free. The~engine {behind|beneath|under} this~stream is~llama.cpp~itself,
{walking|crossing|reading} a~network of~a~single~block whose numbers {were|are~all} set by~hand:
no~naïve guesswork, no~déjà~vu, just~one~word which {knows|names|picks} the~next. If~you
{cancel,|leave,|hang~up,} the~slot {comes~back|opens|returns} within~a~second; if~the~engine
{dies,|falls,|crashes,} another {takes|claims|fills} its~place. Nothing {vanishes|gets~lost|hides}
in~between, and~nothing~is {said|told|sent} twice. 🦙 {Bring|Give~me|Add} a~bigger~model
whenever your~GPUs are~ready.
"""

DEMO = Recital("demo", _TEXT)
"""Fast; some sentences about llama-orch, then it stops by itself."""

ENDLESS = Recital("endless", _TEXT, endless=True)
"""Fast; the same text round and round until a limit stops it."""

SLOW = Recital("slow", _TEXT, endless=True, embedding_length=2048, feed_forward_length=49_152)
"""Endless and slow, for cancelling and killing in the middle: about 16 ms a token on one thread."""

RERANK = Recital("rerank", _TEXT, ranks=True)
"""Like `DEMO`, and with a known opinion on documents."""
