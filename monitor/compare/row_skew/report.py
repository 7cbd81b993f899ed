"""What row-level skew was found, and its JSON; changes with what is reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from monitor.compare.row_skew.explanation import Explanation
from monitor.compare.row_skew.join import MatchStats

SCHEMA_VERSION = 1
MISSING_VALUE = "__MISSING_VALUE__"
"""TFDV's placeholder for a missing value in confusion counts."""


class SkewVerdict(StrEnum):
    """What the comparison comes to."""

    MATCH = "match"
    MISMATCH = "mismatch"
    NOTHING_JOINED = "nothing_joined"


@dataclass(frozen=True, slots=True)
class Example:
    """One pair of rows whose values differ: key, and the value of either side, None or an empty list where there is none."""

    key: tuple[Any, ...]
    training: Any
    served: Any

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of this example."""
        return {"key": list(self.key), "training": self.training, "served": self.served}


@dataclass(frozen=True, slots=True)
class FeatureSkew:
    """The counts of one feature over all pairs, by the names of TFDV's FeatureSkew (base is training, test is served).

    Attributes:
        feature: its name.
        base_count: pairs whose training row has a value.
        test_count: pairs whose served row has one.
        match_count: pairs that have the same value, or both none though both name the feature.
        mismatch_count: pairs that have different values.
        base_only: pairs of which only the training row has a value.
        test_only: pairs of which only the served row has one.
        inexact_match_count: of `match_count`, pairs that are equal only as rounded.
        training_type: type of the training side's values, such as "FLOAT", or "list of INT".
        served_type: that of the served ones.
        explanations: what explains the mismatches and the one-sided values, as far as something does.
        examples: a few pairs that differ, those of the smallest keys.
    """

    feature: str
    base_count: int
    test_count: int
    match_count: int
    mismatch_count: int
    base_only: int
    test_only: int
    inexact_match_count: int = 0
    training_type: str = "MISSING"
    served_type: str = "MISSING"
    explanations: tuple[Explanation, ...] = ()
    examples: tuple[Example, ...] = ()

    @property
    def diff_count(self) -> int:
        """Pairs that differ in any way."""
        return self.base_only + self.test_only + self.mismatch_count

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of this feature."""
        return {
            "feature": self.feature,
            "training_type": self.training_type,
            "served_type": self.served_type,
            "base_count": self.base_count,
            "test_count": self.test_count,
            "match_count": self.match_count,
            "mismatch_count": self.mismatch_count,
            "base_only": self.base_only,
            "test_only": self.test_only,
            "diff_count": self.diff_count,
            "inexact_match_count": self.inexact_match_count,
            "explanations": [each.to_json() for each in self.explanations],
            "examples": [each.to_json() for each in self.examples],
        }


@dataclass(frozen=True, slots=True)
class ConfusionCount:
    """How many pairs have the value `base` in training and `test` in serving; `MISSING_VALUE` stands for none."""

    feature: str
    base: bytes
    test: bytes
    count: int

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of this count."""
        base, test = (value.decode(errors="backslashreplace") for value in (self.base, self.test))
        return {"feature": self.feature, "base": base, "test": test, "count": self.count}


@dataclass(frozen=True, slots=True)
class RowSkew:
    """One comparison of served rows with the training rows of the same keys.

    Attributes:
        keys: names of the key columns.
        stats: how the rows were paired.
        pairs: pairs that were compared; fewer than `stats.matching_pairs_count` where repeated keys were left out.
        skewed_pairs: pairs that differ in at least one feature, by TFDV's count of skewed examples.
        features: every feature that a pair names, those that differ most first.
        confusion: counts of the features for which they were asked.
    """

    keys: tuple[str, ...]
    stats: MatchStats
    pairs: int
    skewed_pairs: int
    features: Sequence[FeatureSkew]
    confusion: Sequence[ConfusionCount] = ()

    @property
    def verdict(self) -> SkewVerdict:
        """Whether anything differs, or nothing could be compared."""
        if not self.pairs:
            return SkewVerdict.NOTHING_JOINED
        return SkewVerdict.MISMATCH if any(each.diff_count for each in self.features) else SkewVerdict.MATCH

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of docs/row-skew.md."""
        return {
            "schema_version": SCHEMA_VERSION,
            "verdict": str(self.verdict),
            "keys": list(self.keys),
            "pairs": self.pairs,
            "skewed_pairs": self.skewed_pairs,
            "match_stats": self.stats.to_json(),
            "features": [each.to_json() for each in self.features],
            "confusion": [each.to_json() for each in self.confusion],
        }
