"""Profiles: what is kept of a closed window's rows, on the cells of one baseline; changes with what a profile holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from monitor.profile import tfdv
from monitor.profile.baseline import Baseline
from monitor.profile.bins import NumericBins, universal_bins
from monitor.profile.columns import Column
from monitor.profile.counts import Indices
from monitor.profile.derived.plan import derive
from monitor.profile.document import pack_bytes, pack_values, unpack_bytes, unpack_values
from monitor.profile.effective import cluster_numbers, effective_blocks, effective_rows
from monitor.profile.extras import NOTHING_BESIDE, ProfileExtras, profile_extras
from monitor.profile.features import FeatureCounts
from monitor.profile.layout import count_feature, notable_values
from monitor.records import Misfits, Rows

Notable = tuple[tuple[bytes, float], ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """One window's rows, summed up.

    Attributes:
        statistics: serialized DatasetFeatureStatisticsList of the rows in canonical order.
        counts: per feature, on the baseline's cells; the label and features that the baseline lacks are left out, but
            a prediction that the baseline lacks is counted on universal cells.
        notable: per categorical feature, its heaviest values without a cell of their own, with their shares.
        rows, rows_seen: kept, and before sampling.
        n_effective: how many independent rows of weight one would tell as much.
        weighted: the statistics are weighted, as the baseline's are.
        blocks: effective number of the baseline's blocks of time that the rows cover.
        mix: (S,) shares of the rows in each season of the baseline's calendar; None where they have no time.
        baseline: fingerprint of the baseline whose cells these are.
        prediction: the column that holds the model's output, if any.
        misfits: values left out because they do not fit their feature's type.
        extras: what is kept beside the counts of single columns; nothing in a slice.
    """

    statistics: bytes
    counts: Mapping[str, FeatureCounts]
    notable: Mapping[str, Notable]
    rows: int
    rows_seen: int
    n_effective: float
    weighted: bool
    baseline: str
    blocks: float = 1.0
    mix: tuple[float, ...] | None = None
    prediction: str | None = None
    label: str | None = None
    misfits: Mapping[str, Misfits] = field(default_factory=dict)
    extras: ProfileExtras = NOTHING_BESIDE

    def to_document(self) -> dict[str, Any]:
        """Return a JSON object that `from_document` reads back exactly."""
        return {
            "statistics": pack_bytes(self.statistics),
            "counts": {name: counts.to_document() for name, counts in self.counts.items()},
            "notable": {
                name: {"values": pack_values([v for v, _ in pairs]), "shares": [share for _, share in pairs]}
                for name, pairs in self.notable.items()
            },
            "rows": self.rows,
            "rows_seen": self.rows_seen,
            "n_effective": self.n_effective,
            "weighted": self.weighted,
            "baseline": self.baseline,
            "blocks": self.blocks,
            "mix": None if self.mix is None else list(self.mix),
            "prediction": self.prediction,
            "label": self.label,
            "misfits": {name: [misfit.count, list(misfit.examples)] for name, misfit in self.misfits.items()},
            "extras": self.extras.to_document(),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Profile:
        """Undo `to_document`."""
        return cls(
            statistics=unpack_bytes(document["statistics"]),
            counts={name: FeatureCounts.from_document(d) for name, d in document["counts"].items()},
            notable={
                name: tuple(zip(unpack_values(d["values"]), d["shares"], strict=True))
                for name, d in document["notable"].items()
            },
            rows=int(document["rows"]),
            rows_seen=int(document["rows_seen"]),
            n_effective=float(document["n_effective"]),
            weighted=bool(document["weighted"]),
            baseline=document["baseline"],
            blocks=float(document["blocks"]),
            mix=None if document.get("mix") is None else tuple(document["mix"]),
            prediction=document["prediction"],
            label=document["label"],
            misfits={
                name: Misfits(int(count), tuple(examples)) for name, (count, examples) in document["misfits"].items()
            },
            extras=ProfileExtras.from_document(document.get("extras")),
        )


def build_profile(rows: Rows, baseline: Baseline) -> Profile:
    """Sum a window's rows up on the baseline's cells; no rows make a profile of nothing.

    A feature whose column has another kind of type than the baseline's (numbers against text) is not counted: the schema's
    anomaly says so.
    """
    return count_rows(rows, baseline, _statistics(rows, weighted=baseline.weighted))


def _statistics(rows: Rows, *, weighted: bool) -> bytes:
    """Return TFDV's statistics; it cannot compare weighted ones with plain ones, so the baseline decides."""
    if weighted:
        return tfdv.statistics(rows.features, np.ones(len(rows)) if rows.weights is None else rows.weights)
    features = rows.features
    if rows.uniform is not None and rows.uniform.any():
        # Without weights, rows that are there only because they are rare would look like drift.
        features = features.filter(pa.array(rows.uniform))
    return tfdv.statistics(features)


def count_rows(rows: Rows, baseline: Baseline, statistics: bytes = b"") -> Profile:
    """Return the profile of rows whose TFDV statistics are known, or not wanted; see `build_profile`."""
    clusters = cluster_numbers(rows)
    compared = derive(rows, baseline.extras.derived)
    paired = () if baseline.extras.pairs is None else baseline.extras.pairs.layout.groups
    columns = {name: column for name, column in _columns(compared, baseline) if name in paired}
    extras = profile_extras(
        rows, compared, baseline.extras, baseline.features, columns, clusters, baseline.block_length
    )
    return replace(_profile(compared, baseline, clusters), statistics=statistics, extras=extras)


def count_slice(compared: Rows, baseline: Baseline) -> Profile:
    """Return the profile of the rows of a slice, which has no statistics and no extras; they hold the derived columns."""
    return _profile(compared, baseline, cluster_numbers(compared))


def _columns(compared: Rows, baseline: Baseline) -> Iterator[tuple[str, Column]]:
    """Yield the columns that are counted: those of the baseline's features that hold its kind of type, and the prediction.

    One after the other, since a thousand of them at once would be another copy of all rows.
    """
    for name in compared.features.column_names:
        reference = baseline.features.get(name)
        if name == compared.label or (reference is None and name != compared.prediction):
            continue
        column = Column.of(compared.features.column(name))
        if reference is None or isinstance(reference.bins, NumericBins) == (column.numbers is not None):
            yield name, column


def _profile(rows: Rows, baseline: Baseline, clusters: Indices | None) -> Profile:
    counts: dict[str, FeatureCounts] = {}
    notable: dict[str, Notable] = {}
    for name, column in _columns(rows, baseline):
        reference = baseline.features.get(name)
        bins = reference.bins if reference is not None else universal_bins(column.numbers is not None)
        counts[name] = count_feature(column, bins, rows.weights, clusters)
        named = notable_values(column, bins, rows.weights)
        if named:
            notable[name] = named
    return Profile(
        statistics=b"",
        counts=counts,
        notable=notable,
        rows=len(rows),
        rows_seen=max(rows.seen, len(rows)),
        n_effective=effective_rows(rows, clusters),
        weighted=baseline.weighted,
        baseline=baseline.fingerprint,
        blocks=effective_blocks(rows.event_times, baseline.block_length, rows.weights),
        mix=None if baseline.calendar is None else baseline.calendar.mix_of(rows.event_times, rows.weights),
        prediction=rows.prediction,
        label=rows.label,
        misfits=dict(rows.misfits),
    )
