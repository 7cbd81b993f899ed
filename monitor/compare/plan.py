"""Which calibrated comparisons a window calls for, before any is made: their number sets the level of each.

Changes with what is compared, and with how the comparisons share the budget.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from monitor.compare.attribution import attribution_findings
from monitor.compare.calibrated import corrected_level
from monitor.compare.case import Case, Reference
from monitor.compare.comparisons import Comparison, Pair, Side, comparisons
from monitor.compare.dependence import dependence_findings
from monitor.compare.expected import expected_of
from monitor.compare.findings import Finding, Kind
from monitor.compare.vectors import VectorPair, vector_finding
from monitor.profile.bins import universal_bins

_SCHEMA_DECIDES = "the schema's threshold decides about this feature"
_MIN_ATTRIBUTION = 0.02
"""Points of a feature's share of attribution below which a change is not flagged."""


@dataclass(frozen=True, slots=True)
class Group:
    """Comparisons that are made together and share their levels among themselves.

    Attributes:
        at: judges at the level of all of them together, given the features whose values were found to have moved.
        weight: how many comparisons they count for.
        reference: what they compare with.
    """

    at: Callable[[float, Collection[str]], Iterator[Finding]]
    weight: int
    reference: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The comparisons of a window before any is made.

    Attributes:
        pairs: each feature with each reference, and the comparisons of the two.
        groups: what goes beyond single columns: vectors, dependence, attributions.
        deciding: how many comparisons share the budget of false alarms.
        level: of each of them.
    """

    pairs: Sequence[tuple[Pair, Sequence[Comparison]]]
    groups: Sequence[Group]
    deciding: int
    level: float


def plan_of(case: Case) -> Plan:
    """Return the calibrated comparisons of a window with its references."""
    pairs = [(pair, comparisons(pair)) for reference in case.references for pair in _pairs(case, reference)]
    groups = [group for reference in case.references for group in _groups(case, reference)]
    deciding = sum(comparison.decides for _, planned in pairs for comparison in planned)
    deciding += sum(group.weight for group in groups)
    level = corrected_level(case.share * case.settings.false_alarm_rate, deciding)
    return Plan(pairs, groups, deciding, level)


def _pairs(case: Case, reference: Reference) -> Iterator[Pair]:
    kinds = case.kinds(reference.kind)
    decided = {(feature, side) for feature, side, _ in case.limits}
    for name in sorted(case.profile.counts.keys() & reference.counts.keys() & kinds.keys()):
        pair = _pair(case, reference, name, kinds[name])
        yield replace(pair, decided=_SCHEMA_DECIDES) if (name, reference.schema_side) in decided else pair


def _pair(case: Case, reference: Reference, name: str, kind: Kind) -> Pair:
    profile, baseline = case.profile, case.baseline
    known = baseline.features.get(name)
    counts, others = profile.counts[name], reference.counts[name]
    blocks = (profile.blocks, reference.blocks)
    mixes = (case.mix, reference.mix)
    return Pair(
        feature=name,
        kind=kind,
        reference=reference.name,
        current=Side(counts, case.moments.get(name), profile.notable.get(name, ()), profile.blocks),
        other=Side(others, reference.moments.get(name), reference.notable.get(name, ()), reference.blocks),
        bins=known.bins if known is not None else universal_bins(counts.location is not None),
        known=known,
        expected=expected_of(others, known, baseline.calendar, mixes, blocks, training=reference.is_training),
        training=reference.is_training,
        min_effect=case.min_effect(name),
        thresholds={str(measure): limit for measure, limit in case.override(name).thresholds.items()},
    )


def _groups(case: Case, reference: Reference) -> Iterator[Group]:
    yield from _vectors(case, reference)
    yield from _dependence(case, reference)
    yield from _attributions(case, reference)


def _vectors(case: Case, reference: Reference) -> Iterator[Group]:
    kinds = case.kinds(reference.kind)
    known, current = case.baseline.extras.vectors, case.profile.extras.vectors
    earlier = None if reference.extras is None else reference.extras.vectors
    for name in sorted(known.keys() & current.keys() & kinds.keys()):
        if earlier is not None and name not in earlier:
            continue
        pair = VectorPair(
            name,
            kinds[name],
            reference.name,
            current[name],
            None if earlier is None else earlier[name],
            known[name],
            case.baseline.calendar,
            (case.mix, reference.mix),
            (case.profile.blocks, reference.blocks),
            case.min_effect(name),
        )
        yield Group(partial(_vector, pair), 1, reference.name)


def _vector(pair: VectorPair, level: float, moved: Collection[str]) -> Iterator[Finding]:
    del moved  # a vector is compared as one
    yield vector_finding(pair, level)


def _dependence(case: Case, reference: Reference) -> Iterator[Group]:
    known, current = case.baseline.extras.pairs, case.profile.extras.pairs
    if not case.settings.joint or known is None or current is None:
        return
    other = known.counts if reference.extras is None else reference.extras.pairs
    if other is None:
        return
    ignored = [name for name in case.baseline.features if case.override(name).ignore]
    blocks = (case.profile.blocks, reference.blocks)

    def at(level: float, moved: Collection[str]) -> Iterator[Finding]:
        return dependence_findings(
            current,
            other,
            known,
            reference=reference.name,
            level=level,
            min_effect=case.settings.min_effect,
            blocks=blocks,
            ignored=ignored,
            moved=moved,
        )

    yield Group(at, len(known.layout.groups), reference.name)


def _attributions(case: Case, reference: Reference) -> Iterator[Group]:
    current = case.profile.extras.attributions
    other = (case.baseline.extras if reference.extras is None else reference.extras).attributions
    if current is None or other is None:
        return

    def at(level: float, moved: Collection[str]) -> Iterator[Finding]:
        del moved  # what the model goes by is news whether or not the feature moved
        found = attribution_findings(
            current, other, level=level, min_effect=_MIN_ATTRIBUTION, reference_name=reference.name
        )
        return (each for each in found if each.feature is None or not case.override(each.feature).ignore)

    yield Group(at, len({*current.names, *other.names}), reference.name)
