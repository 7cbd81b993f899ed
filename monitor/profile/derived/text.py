"""What is derived of texts: their length, their words, how many of those are unknown, and their language.

Changes with what is known of texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from monitor.hashing import hash_ids
from monitor.profile.counts import Indices
from monitor.profile.derived.arrays import evenly, numbers_or_null
from monitor.profile.derived.language import languages_of
from monitor.profile.derived.leave_out import TRIFLE, gap
from monitor.profile.document import Floats, pack_bytes, unpack_bytes

COLUMNS = ("length", "words", "unknown_words", "language")
MAX_VOCABULARY = 20_000
LEARNED = 100_000
"""Texts of a baseline from which its vocabulary is learned."""
READ_CHARACTERS = 8_192
"""How much of each text is split into words; its length counts all of it."""
_BATCH = 50_000

# Words are runs of letters, marks and digits; scripts that are written without spaces count sign by sign.
_SPACELESS = r"([\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}])"
_BETWEEN = r"[^\p{L}\p{M}\p{N}]+"

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Tokens:
    """The words of n texts in lower case.

    Attributes:
        rows: n.
        owners: (m,) the text of each word.
        codes: (m,) index of each word into `distinct`.
        distinct: strings.
    """

    rows: int
    owners: Indices
    codes: Indices
    distinct: pa.Array

    @classmethod
    def of(cls, texts: pa.Array) -> Tokens:
        """Split texts; a missing one has no words."""
        lists = split_words(texts)
        owners = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False).astype(np.int64)
        words = lists.flatten()
        there = pc.not_equal(words, "").to_numpy(zero_copy_only=False).astype(bool)
        encoded = words.filter(pa.array(there)).dictionary_encode()
        return cls(
            len(texts),
            owners[there],
            encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64),
            encoded.dictionary,
        )

    @property
    def counts(self) -> Indices:
        """(n,) words of each text."""
        return np.bincount(self.owners, minlength=self.rows)

    def share(self, of_tokens: npt.NDArray[np.bool_]) -> Floats:
        """Return the share (n,) of each text's words that `of_tokens` (m,) marks; NaN for a text without words."""
        counts = self.counts
        marked = np.bincount(self.owners, of_tokens, self.rows)
        share: Floats = np.divide(marked, counts, out=np.full(self.rows, np.nan), where=counts > 0)
        return share


def split_words(texts: pa.Array) -> pa.Array:
    """Return the words of each text in lower case as lists, empty strings between them; null for a missing text."""
    lowered = pc.utf8_lower(_beginnings(texts))
    if pc.any(pc.match_substring_regex(lowered, pattern=_SPACELESS)).as_py():
        lowered = pc.replace_substring_regex(lowered, pattern=_SPACELESS, replacement=r" \1 ")
    return pc.split_pattern_regex(lowered, pattern=_BETWEEN)


def _beginnings(texts: pa.Array) -> pa.Array:
    if len(texts) == 0 or (pc.max(pc.binary_length(texts)).as_py() or 0) <= READ_CHARACTERS:
        return texts
    return pc.utf8_slice_codeunits(texts, start=0, stop=READ_CHARACTERS)


def readable(column: pa.Array) -> pa.Array:
    """Return a column of text or bytes as strings, with bytes that are no UTF-8 replaced."""
    if pa.types.is_string(column.type):
        return column
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:
        decoded = [None if value is None else value.decode("utf-8", "replace") for value in column.to_pylist()]
        return pa.array(decoded, pa.string())


@dataclass(frozen=True, slots=True, eq=False)
class TextPlan:
    """How texts are made into numbers.

    Attributes:
        vocabulary: (v,) hashes of the baseline's usual words, ascending; a document with them does not show the words.
    """

    vocabulary: Hashes

    columns = COLUMNS
    """Names of the columns that are derived, without that of their source."""

    def __eq__(self, other: object) -> bool:
        """Compare the vocabularies."""
        return isinstance(other, TextPlan) and np.array_equal(self.vocabulary, other.vocabulary)

    __hash__ = None  # type: ignore[assignment]

    def derive(self, column: pa.Array) -> Mapping[str, pa.Array]:
        """Return the columns of a column of texts; see `COLUMNS`."""
        parts = [self._derive(readable(part)) for part in _batches(column)]
        return {name: pa.concat_arrays([part[name] for part in parts]) for name in COLUMNS}

    def _derive(self, texts: pa.Array) -> dict[str, pa.Array]:
        tokens = Tokens.of(texts)
        missing = pc.is_null(texts).to_numpy(zero_copy_only=False)
        unknown = ~np.isin(hash_ids(tokens.distinct), self.vocabulary)
        languages = languages_of(tokens.rows, tokens.owners, tokens.codes, tokens.distinct)
        return {
            "length": pc.utf8_length(texts).cast(pa.int64()),
            "words": pa.array(tokens.counts, pa.int64(), mask=missing),
            "unknown_words": numbers_or_null(tokens.share(unknown[tokens.codes])),
            "language": pc.if_else(pc.is_null(texts), pa.scalar(None, pa.string()), languages),
        }

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object that `from_document` reads back exactly."""
        return {"vocabulary": pack_bytes(self.vocabulary.astype("<u8").tobytes())}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> TextPlan:
        """Undo `to_document`."""
        return cls(np.frombuffer(unpack_bytes(document["vocabulary"]), "<u8").astype(np.uint64))


def learn_texts(column: pa.Array, units: Indices) -> tuple[TextPlan, Mapping[str, pa.Array]]:
    """Return the plan of a baseline's column, and its own columns as fresh rows would have them.

    Args:
        column: texts.
        units: (n,) what is left out with each row, numbered from 0; see `leave_out`.
    """
    taken = evenly(len(column), LEARNED)
    tokens = Tokens.of(readable(column.take(pa.array(taken))))
    known, fresh = _usual(tokens, units[taken])
    plan = TextPlan(np.sort(hash_ids(tokens.distinct.filter(pa.array(known)))))
    columns = dict(plan.derive(column))
    unknown = columns["unknown_words"].to_numpy(zero_copy_only=False).astype(np.float64)
    unknown[taken] = fresh
    columns["unknown_words"] = numbers_or_null(unknown)
    return plan, columns


def _usual(tokens: Tokens, units: Indices) -> tuple[npt.NDArray[np.bool_], Floats]:
    """Return which distinct words are usual, and the share of unusual words in each text when its unit is left out.

    A word is usual from some number of texts on: the smallest for which the vocabulary is small enough and the baseline's
    texts look the same whether they are left out or not, so that they are no news when they come as a window.
    """
    size = len(tokens.distinct)
    pairs = np.unique(tokens.owners * max(size, 1) + tokens.codes)
    texts = np.bincount(pairs % max(size, 1), minlength=size)
    by_unit, counted = np.unique(units[pairs // max(size, 1)] * max(size, 1) + pairs % max(size, 1), return_counts=True)
    own = counted[np.searchsorted(by_unit, units[tokens.owners] * max(size, 1) + tokens.codes)]
    rest = 1.0 - np.bincount(units)[units[tokens.owners]] / max(tokens.rows, 1)
    elsewhere = (texts[tokens.codes] - own) / np.maximum(rest, 1e-9)
    best = (np.inf, np.zeros(size, bool), np.full(tokens.rows, np.nan))
    for least in _steps(texts):
        known = texts >= least
        fresh = tokens.share(elsewhere < least)
        apart = gap(tokens.share(~known[tokens.codes]), fresh)
        if apart < best[0]:
            best = (apart, known, fresh)
        if apart <= TRIFLE:
            break
    return best[1], best[2]


def _steps(texts: Indices) -> Iterator[int]:
    """Yield numbers of texts from which a word may be usual, ascending, while some word is in so many."""
    least = 2
    while (enough := int((texts >= least).sum())) > 0:
        if enough <= MAX_VOCABULARY:
            yield least
        least = max(least + 1, least * 5 // 4)


def _batches(column: pa.Array) -> Iterator[pa.Array]:
    for start in range(0, max(len(column), 1), _BATCH):
        yield column.slice(start, _BATCH)
