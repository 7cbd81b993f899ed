from __future__ import annotations

import pytest

from monitor.compare.findings import Kind, Outcome
from monitor.compare.validations.judging import rule_findings
from monitor.profile.validations import RuleResult, State


@pytest.mark.parametrize(
    ("state", "error", "flagged", "outcome"),
    [
        (State.HOLDS, True, False, Outcome.JUDGED),
        (State.BROKEN, True, True, Outcome.JUDGED),
        (State.BROKEN, False, False, Outcome.INFORMATIVE),
        (State.UNUSABLE, True, True, Outcome.JUDGED),
        (State.UNUSABLE, False, False, Outcome.INFORMATIVE),
        (State.UNDECIDED, True, False, Outcome.INSUFFICIENT),
    ],
    ids=[
        "a rule that holds is listed",
        "an error flags",
        "a warning informs",
        "a rule that somebody relies on and that cannot be evaluated flags",
        "a warning that cannot be evaluated informs",
        "what cannot be decided lacks evidence",
    ],
)
def test_state_and_severity_decide(state: State, error: bool, flagged: bool, outcome: Outcome) -> None:
    (finding,) = rule_findings([RuleResult("late_share", "avg(late)", error, state, "it is 0.4")])
    assert finding.kind is Kind.CUSTOM_VALIDATION
    assert finding.measure == "late_share"
    assert finding.flagged is flagged
    assert finding.outcome is outcome


def test_a_broken_rule_says_what_it_is_for_and_what_it_found() -> None:
    result = RuleResult(
        "late_share",
        "avg(late)\n",
        True,
        State.BROKEN,
        "it is 0.4, above 0.2",
        "few are late",
        value=0.4,
        threshold=0.2,
    )
    (finding,) = rule_findings([result])
    assert finding.explanation == "late_share: avg(late) does not hold (few are late): it is 0.4, above 0.2"
    assert (finding.value, finding.threshold) == (0.4, 0.2)
    assert finding.reason is None


def test_a_rule_that_cannot_be_evaluated_says_why() -> None:
    (finding,) = rule_findings([RuleResult("fare", "avg(fair) > 0", True, State.UNUSABLE, "there is no column fair")])
    assert finding.reason == "the rule cannot be evaluated: there is no column fair"
