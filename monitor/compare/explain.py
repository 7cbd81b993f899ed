"""Sentences that say what moved; changes with what people want to read. Cells and moments in, one sentence out."""

from __future__ import annotations

import numpy as np

from monitor.profile.bins import Bins, CategoricalBins, NumericBins
from monitor.profile.document import Floats
from monitor.profile.features import FeatureCounts
from monitor.profile.moments import Moments
from monitor.profile.profile import Notable

_NAMED = 3


def explain_values(
    feature: str,
    bins: Bins,
    current: FeatureCounts,
    reference: FeatureCounts,
    moments: tuple[Moments | None, Moments | None],
    notable: tuple[Notable, Notable],
) -> str:
    """Say how a feature's values moved.

    Args:
        feature: its name.
        bins: the cells of both sides.
        current: counts of the window.
        reference: counts of what it is compared with.
        moments: of the window and of the reference, for numbers.
        notable: values without a cell of their own in the window and in the reference, for categories.
    """
    if isinstance(bins, CategoricalBins):
        return f"{feature}: {_categories(bins, current, reference, notable)}"
    said = [*_numbers(moments), *_cell(bins, current, reference)]
    return f"{feature}: {', '.join(said) if said else 'no cell of values moved by 1% or more'}"


def explain_missing(feature: str, current: float, reference: float) -> str:
    """Say how the share of missing values moved."""
    return f"{feature}: missing in {percent(current)} of the rows, {percent(reference)} in the reference"


def explain_novel(feature: str, bins: Bins, current: FeatureCounts, moments: Moments | None, notable: Notable) -> str:
    """Say how much of a feature lies outside of what the training data held."""
    shares = _shares(current.values.sums)
    if isinstance(bins, CategoricalBins):
        known = set(bins.known) | set(bins.frequent)
        names = [f"{text(value)} {percent(share)}" for value, share in notable if value not in known][:_NAMED]
        said = f", such as {', '.join(names)}" if names else ""
        return f"{feature}: {percent(float(shares[bins.unseen]))} of the values never occurred in training{said}"
    if len(bins.edges) == 0:
        return f"{feature}: training held no number to compare with"
    below, above = float(shares[0]), float(shares[-1])
    sides = []
    if above or not below:
        # The last edge is the number after the maximum.
        sides.append(
            f"{percent(above)} above the training maximum {number(float(np.nextafter(bins.edges[-1], -np.inf)))}"
        )
    if below:
        sides.append(f"{percent(below)} below the training minimum {number(float(bins.edges[0]))}")
    reach = f" (now {number(moments.lowest)} to {number(moments.highest)})" if moments else ""
    return f"{feature}: {' and '.join(sides)}{reach}"


def explain_heaviest(feature: str, value: bytes, share: float) -> str:
    """Say how much the heaviest of the values has that were rare in training."""
    if share <= 0.0:
        return f"{feature}: none of the values that were rare in training came"
    return f"{feature}: {text(value)} is {percent(share)} of the values, and was rare or unknown in training"


def percent(share: float) -> str:
    """Write a share as a percentage with one digit after the point, more for small ones."""
    if 0.0 < share < 0.001:
        return f"{100.0 * share:.2g}%"
    return f"{100.0 * share:.1f}%"


def number(value: float | None) -> str:
    """Write a number with four significant digits, whole ones up to a million in full."""
    if value is None:
        return "unknown"
    if float(value).is_integer() and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.4g}"


def text(value: bytes) -> str:
    """Write a category in quotes, shortened, with bytes that are no text made visible."""
    decoded = value.decode("utf-8", errors="backslashreplace")
    return repr(decoded if len(decoded) <= 40 else decoded[:39] + "…")


def _categories(
    bins: CategoricalBins,
    current: FeatureCounts,
    reference: FeatureCounts,
    notable: tuple[Notable, Notable],
) -> str:
    now, before = _shares(current.values.sums), _shares(reference.values.sums)
    moved: dict[str, tuple[float, float]] = {
        text(value): (float(before[i]), float(now[i])) for i, value in enumerate(bins.frequent)
    }
    ours, theirs = dict(notable[0]), dict(notable[1])
    known = set(bins.known)
    for value in sorted({*ours, *theirs}):
        # Where only one side names a value, the other side holds less of it than of the values that it does name.
        if value in ours and (value in theirs or value not in known):
            moved[text(value)] = (theirs.get(value, 0.0), ours[value])
    unseen = (float(before[bins.unseen]), float(now[bins.unseen])) if bins.complete else (0.0, 0.0)
    moved["values unseen in training"] = unseen
    ranked = sorted(moved.items(), key=lambda item: (-abs(item[1][1] - item[1][0]), item[0]))
    said = [f"{name} from {percent(a)} to {percent(b)}" for name, (a, b) in ranked[:_NAMED] if abs(b - a) >= 0.001]
    return ", ".join(said) if said else "no single value moved by 0.1% or more"


def _cell(bins: NumericBins, current: FeatureCounts, reference: FeatureCounts) -> list[str]:
    """Say which cell of numbers gained or lost most."""
    now, before = _shares(current.values.sums), _shares(reference.values.sums)
    i = int(np.argmax(np.abs(now - before)))
    if abs(float(now[i] - before[i])) < 0.01 or len(bins.edges) == 0:
        return []
    moved = f"from {percent(float(before[i]))} to {percent(float(now[i]))}"
    if i == 0:
        return [f"values below {number(float(bins.edges[0]))} {moved}"]
    # A cell ends before its upper edge.
    low = number(_rounded(float(bins.edges[i - 1])))
    last = number(_rounded(float(np.nextafter(bins.edges[min(i, len(bins.edges) - 1)], -np.inf))))
    if i == len(bins.edges):
        return [f"values above {last} {moved}"]
    return [f"value {low} {moved}" if low == last else f"values {low} to {last} {moved}"]


def _rounded(edge: float) -> float:
    """Return the number that an edge was laid beside: edges stand a little off the values that they separate."""
    return float(f"{edge:.6g}")


def _numbers(moments: tuple[Moments | None, Moments | None]) -> list[str]:
    now, before = moments
    if now is None or before is None:
        return []
    pairs = (
        ("mean", before.mean, now.mean),
        ("median", before.median, now.median),
        ("p10", before.p10, now.p10),
        ("p90", before.p90, now.p90),
    )
    said = [f"{name} from {number(a)} to {number(b)}" for name, a, b in pairs if a is not None and b is not None]
    zeros = (before.zero_share or 0.0, now.zero_share or 0.0)
    if abs(zeros[0] - zeros[1]) >= 0.01:
        said.append(f"zeros from {percent(zeros[0])} to {percent(zeros[1])}")
    return said


def _shares(sums: Floats) -> Floats:
    total = float(sums.sum())
    return sums / total if total else sums
