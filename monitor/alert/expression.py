"""Whether a rule's expression holds of one window, and which findings make it; changes with what an expression may say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from monitor.alert.facts import Facts, FlaggedFinding, Source, labels_of
from monitor.alert.matching import matchers_of
from monitor.alert.mute import asks_for_breaks, muted
from monitor.alert.ranking import MOST_FINDINGS, ranked
from monitor.config.alerting import Expression
from monitor.matchers import all_match


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an expression says of a window.

    Attributes:
        matched: whether it holds.
        findings: those that make it hold, the strongest first, at most MOST_FINDINGS; empty where it does not, or holds by `not`.
        muted: those that would have counted, had not a data break explained them.
    """

    matched: bool
    findings: Sequence[FlaggedFinding] = ()
    muted: Sequence[FlaggedFinding] = ()


def sources(expression: Expression) -> frozenset[Source]:
    """Return the sources that an expression mentions."""
    mine = {
        source
        for source, leaf in ((Source.TRAFFIC, expression.findings), (Source.QUALITY, expression.quality))
        if leaf is not None
    }
    return frozenset(mine).union(*map(sources, _parts(expression)))


def evaluate(expression: Expression, facts: Facts) -> Outcome | None:
    """Return what an expression says of a window; None while a source that it mentions has not spoken.

    That holds for what is decided already too, as one side of `any`: windows that match would else be known before those that
    do not, and M of N windows would be counted among the former.
    """
    if any(facts.of(source) is None for source in sources(expression)):
        return None
    found = _evaluated(expression, facts)
    return Outcome(
        found.matched,
        _strongest(found.findings) if found.matched else (),
        _strongest(found.muted),
    )


def _evaluated(expression: Expression, facts: Facts) -> Outcome:
    if expression.findings is not None:
        return _leaf(expression.findings, facts.traffic or ())
    if expression.quality is not None:
        return _leaf(expression.quality, facts.quality or ())
    if expression.not_ is not None:
        return Outcome(not _evaluated(expression.not_, facts).matched)
    parts = [_evaluated(part, facts) for part in _parts(expression)]
    together = all if expression.all is not None else any
    return Outcome(
        together(part.matched for part in parts),
        [finding for part in parts for finding in part.findings],
        [finding for part in parts for finding in part.muted],
    )


def _leaf(text: str, findings: Sequence[FlaggedFinding]) -> Outcome:
    matchers = matchers_of(text)
    kept, explained = (findings, []) if asks_for_breaks(matchers) else muted(findings)
    matching = [finding for finding in kept if all_match(matchers, labels_of(finding))]
    silent = [finding for finding in explained if all_match(matchers, labels_of(finding))]
    return Outcome(bool(matching), matching, silent)


def _parts(expression: Expression) -> Iterator[Expression]:
    yield from expression.all or ()
    yield from expression.any or ()
    if expression.not_ is not None:
        yield expression.not_


def _strongest(findings: Iterable[FlaggedFinding]) -> list[FlaggedFinding]:
    """Return each finding once, however many parts it matches."""
    once = {(*labels_of(finding).values(), finding["explanation"]): finding for finding in findings}
    return ranked(once.values())[:MOST_FINDINGS]
