"""Results of rules as findings; changes with what a broken or unusable rule means for a window."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from monitor.compare.findings import Finding, Kind, Outcome
from monitor.profile.validations import RuleResult, State

_SAID = {
    State.HOLDS: "holds",
    State.BROKEN: "does not hold",
    State.UNDECIDED: "cannot be decided",
    State.UNUSABLE: "cannot be evaluated",
}


def rule_findings(results: Iterable[RuleResult]) -> Iterator[Finding]:
    """Yield one finding for each rule, broken or not.

    A broken rule flags where its severity is an error, and informs where it is a warning. So does one that cannot be
    evaluated: a check that somebody relies on must not fall silent. One that cannot be decided lacks evidence.
    """
    for result in results:
        yield Finding(
            kind=Kind.CUSTOM_VALIDATION,
            feature=result.feature,
            reference=result.reference,
            measure=result.name,
            value=result.value,
            threshold=result.threshold,
            p_value=None,
            flagged=result.error and result.state in (State.BROKEN, State.UNUSABLE),
            reason=_reason(result),
            explanation=_explanation(result),
            outcome=Outcome.INSUFFICIENT if result.state is State.UNDECIDED else _outcome(result),
        )


def _outcome(result: RuleResult) -> Outcome:
    return Outcome.JUDGED if result.error else Outcome.INFORMATIVE


def _reason(result: RuleResult) -> str | None:
    if result.state is State.HOLDS:
        return None
    if result.state is State.BROKEN:
        return None if result.error else "its severity is a warning: informs only"
    return f"the rule {_SAID[result.state]}: {result.detail}"


def _explanation(result: RuleResult) -> str:
    about = f"{result.feature}: " if result.feature else f"{result.name}: "
    description = f" ({result.description})" if result.description else ""
    detail = f": {result.detail}" if result.detail else ""
    statement = " ".join(result.statement.split())
    return f"{about}{statement} {_SAID[result.state]}{description}{detail}"
