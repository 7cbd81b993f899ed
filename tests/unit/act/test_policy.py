"""What a policy decides about an alert, each case a sentence."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.act.decision import Decision, Outcome, Rule
from monitor.act.policy import Facts, decide, features_of, slices_of, unconfirmed_in_a_row
from monitor.act.retrain import Confirmation, Retrain, RetrainState
from monitor.alert.alert import Alert, AlertState, Origin
from monitor.config.policies import PolicySettings
from monitor.config.retraining import RetrainSettings
from tests.ledgers import HOUR, NOON
from tests.unit.jobs.retrain_world import settings_of

TRAINER: dict[str, Any] = {"trainer": {"type": "kafka", "topic": "retrains"}, "min_labelled_rows": 500}
RETRAIN = RetrainSettings.model_validate(TRAINER)
ALERT = Alert(
    {"alertname": "QualityLost", "model": "model", "severity": "critical"},
    {},
    AlertState.FIRING,
    Origin.DRIFTLINE,
    NOON,
    episode=1,
    fired_at=NOON - HOUR,
    findings=(
        {"feature": "x", "measure": "cohens_d", "slice": {}},
        {"feature": "x", "measure": "cohens_d", "slice": {"side": "west"}},
        {"feature": "y", "measure": "cohens_w", "slice": {}},
        {"feature": None, "measure": "auc", "slice": {}},
    ),
)
FACTS = Facts(labelled_rows=5_000, retrain=RETRAIN, serving_gpus="serving")
LIVE = Retrain("r1", "model", RetrainState.RUNNING, 1, "ada", NOON, NOON, NOON)
CANARY = replace(LIVE, state=RetrainState.CANARY)


def policy(**more: Any) -> PolicySettings:
    given = {"name": "again", "match": 'alertname="QualityLost"', "action": "retrain"}
    return PolicySettings.model_validate(given | more)


def facts(**more: Any) -> Facts:
    return replace(FACTS, **more)


def alert(**more: Any) -> Alert:
    return replace(ALERT, **more)


PAGE = {"action": "page", "receiver": "pager"}
CASES: dict[str, tuple[PolicySettings, Alert, Facts, Rule, str]] = {
    "an alert of another name is none of its business": (
        policy(match='alertname="Other"'), ALERT, FACTS, Rule.MATCH, "do not match"
    ),
    "a silenced alert is left alone": (
        policy(), ALERT, facts(silenced="by ada: deploying"), Rule.SILENCED, "by ada: deploying"
    ),
    "nobody is paged for what somebody has taken note of": (
        policy(**PAGE), alert(acknowledged_by="ada"), FACTS, Rule.ACKNOWLEDGED, "ada has taken note"
    ),
    "but retraining goes on": (policy(), alert(acknowledged_by="ada"), FACTS, Rule.ALL_MET, ""),
    "an alert that fires for less than the debounce may pass by itself": (
        policy(debounce="2h"), ALERT, FACTS, Rule.DEBOUNCE, "for 2h yet"
    ),
    "after it, it is acted on": (policy(debounce="1h"), ALERT, FACTS, Rule.ALL_MET, ""),
    "an alert from the future fires since now": (
        policy(debounce="1m"), alert(fired_at=NOON + HOUR), FACTS, Rule.DEBOUNCE, "for 1m yet"
    ),
    "nothing is done in quiet hours": (
        policy(quiet_hours=["11:00-13:00"]), ALERT, FACTS, Rule.QUIET_HOURS, "11:00-13:00 (UTC)"
    ),
    "quiet hours elsewhere are not now": (
        policy(quiet_hours=["11:00-13:00"], timezone="Asia/Tokyo"), ALERT, FACTS, Rule.ALL_MET, ""
    ),
    "three features of four that there must be are too few": (
        policy(quorum={"features": 4}), ALERT, FACTS, Rule.QUORUM, "3 feature(s) behind it, of 4"
    ),
    "a metric counts as a feature": (policy(quorum={"features": 3}), ALERT, FACTS, Rule.ALL_MET, ""),
    "two slices of three are too few": (policy(quorum={"slices": 3}), ALERT, FACTS, Rule.QUORUM, "2 slice(s)"),
    "all rows count as a slice": (policy(quorum={"slices": 2}), ALERT, FACTS, Rule.ALL_MET, ""),
    "an alert that cannot say what is behind it passes where no more than one is asked for": (
        policy(), alert(findings=()), FACTS, Rule.ALL_MET, ""
    ),
    "and does not where two are": (
        policy(quorum={"features": 2}), alert(findings=()), FACTS, Rule.QUORUM, "0 feature(s)"
    ),
    "too few labelled rows for the policy": (
        policy(min_labelled_rows=10_000), ALERT, FACTS, Rule.LABELLED_ROWS, "5000 labelled rows, of 10000"
    ),
    "too few labelled rows for the model": (
        policy(), ALERT, facts(labelled_rows=499), Rule.LABELLED_ROWS, "499 labelled rows, of 500"
    ),
    "a page needs no labelled rows": (policy(**PAGE), ALERT, facts(labelled_rows=0), Rule.ALL_MET, ""),
    "the policy acted a short while ago": (
        policy(cooldown="2h"), ALERT, facts(last_action=NOON - HOUR), Rule.COOLDOWN, "less than 2h ago"
    ),
    "the cooldown ends at its moment": (
        policy(cooldown="1h"), ALERT, facts(last_action=NOON - HOUR), Rule.ALL_MET, ""
    ),
    "the model was retrained a short while ago, whoever asked for that": (
        policy(), ALERT, facts(last_retrain=NOON - 2 * HOUR), Rule.COOLDOWN, "last retrain was asked for less than 1d"
    ),
    "an action that is recorded in the future was a moment ago": (
        policy(cooldown="1h"), ALERT, facts(last_action=NOON + HOUR), Rule.COOLDOWN, "less than 1h ago"
    ),
    "a page does not wait for retrains to cool down": (
        policy(**PAGE), ALERT, facts(last_retrain=NOON), Rule.ALL_MET, ""
    ),
    "all that it may do in a day is done": (
        policy(cooldown="0s", max_per_day=3), ALERT, facts(actions_today=3), Rule.BUDGET, "3 time(s)"
    ),
    "there is one action left today": (
        policy(cooldown="0s", max_per_day=3), ALERT, facts(actions_today=2), Rule.ALL_MET, ""
    ),
    "a model that nothing retrains is not retrained": (
        policy(), ALERT, facts(retrain=None), Rule.TARGET, "nothing says how"
    ),
    "no GPU can be looked at where none is named": (
        policy(action="gpu_check"), ALERT, facts(serving_gpus=None), Rule.TARGET, "which GPUs"
    ),
    "there is no canary to promote": (policy(action="promote"), ALERT, FACTS, Rule.TARGET, "has no canary"),
    "a retrain that trains is no canary": (
        policy(action="rollback"), ALERT, facts(live=LIVE), Rule.TARGET, "has no canary"
    ),
    "a canary can be rolled back": (policy(action="rollback"), ALERT, facts(live=CANARY), Rule.ALL_MET, ""),
    "or promoted": (policy(action="promote"), ALERT, facts(live=CANARY), Rule.ALL_MET, ""),
    "but not once it is on its way": (
        policy(action="rollback"),
        ALERT,
        facts(live=replace(CANARY, details={"promoting": {}})),
        Rule.TARGET,
        "being promoted",
    ),
    "a canary is asked to be promoted once": (
        policy(action="promote"),
        ALERT,
        facts(live=replace(CANARY, details={"asked": {"promote": {}}})),
        Rule.TARGET,
        "was asked",
    ),
    "a model is retrained once at a time": (policy(), ALERT, facts(live=LIVE), Rule.LIVE, "already, by r1"),
    "whether the last retrain helps is awaited": (
        policy(),
        ALERT,
        facts(confirming=replace(LIVE, state=RetrainState.PROMOTED)),
        Rule.CONFIRMING,
        "r1 clears its alert",
    ),
    "two retrains in vain are enough": (
        policy(), ALERT, facts(unconfirmed=2), Rule.CIRCLES, "2 retrain(s) in a row left their alert firing"
    ),
    "one is not": (policy(), ALERT, facts(unconfirmed=1), Rule.ALL_MET, ""),
    "circles do not keep anybody from being paged": (policy(**PAGE), ALERT, facts(unconfirmed=9), Rule.ALL_MET, ""),
    "a person is asked where the policy wants it": (
        policy(approval="required"), ALERT, FACTS, Rule.APPROVAL, "a person is asked"
    ),
    "or where the model's settings do": (
        policy(),
        ALERT,
        facts(retrain=RetrainSettings.model_validate(TRAINER | {"approval": "required"})),
        Rule.APPROVAL,
        "a person is asked",
    ),
    "nothing holds it back": (policy(), ALERT, FACTS, Rule.ALL_MET, "nothing holds it back"),
}  # fmt: skip
OUTCOMES = {Rule.MATCH: Outcome.UNMATCHED, Rule.ALL_MET: Outcome.ACTED, Rule.APPROVAL: Outcome.ASKED}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_decisions(case: tuple[PolicySettings, Alert, Facts, Rule, str]) -> None:
    policy, alert, facts, rule, reason = case
    decision = decide(policy, alert, facts, NOON)
    assert (decision.rule, decision.outcome) == (rule, OUTCOMES.get(rule, Outcome.HELD))
    assert reason in decision.reason
    assert decision.action == policy.action


def test_the_first_rule_that_holds_it_back_is_the_one_that_is_named() -> None:
    everything = facts(silenced="by ada: x", live=LIVE, unconfirmed=5, labelled_rows=0, actions_today=9)
    decision = decide(policy(quiet_hours=["11:00-13:00"]), ALERT, everything, NOON)
    assert decision.rule is Rule.SILENCED
    decision = decide(policy(quiet_hours=["11:00-13:00"]), ALERT, replace(everything, silenced=""), NOON)
    assert decision.rule is Rule.QUIET_HOURS


@given(
    st.builds(
        Facts,
        silenced=st.sampled_from(["", "by ada: x"]),
        last_action=st.none()
        | st.datetimes(datetime(2026, 2, 1), datetime(2026, 4, 1)).map(  # noqa: DTZ001 - aware below
            lambda at: at.replace(tzinfo=NOON.tzinfo)
        ),
        actions_today=st.integers(0, 3),
        labelled_rows=st.integers(0, 2_000),
        live=st.sampled_from([None, LIVE, CANARY]),
        confirming=st.sampled_from([None, LIVE]),
        unconfirmed=st.integers(0, 4),
        retrain=st.sampled_from([None, RETRAIN]),
    )
)
def test_a_retrain_is_never_begun_beside_another_nor_silenced_nor_in_circles(facts: Facts) -> None:
    decision: Decision = decide(policy(), ALERT, facts, NOON)
    if decision.outcome is Outcome.ACTED:
        assert facts.live is None
        assert facts.confirming is None
        assert not facts.silenced
        assert facts.unconfirmed < 2
        assert facts.retrain is not None
    assert decision.reason


def ended(state: RetrainState, confirmation: Confirmation = Confirmation.NONE, by: str = "again") -> Retrain:
    return replace(LIVE, state=state, confirmation=confirmation, policy=by)


S, C = RetrainState, Confirmation
VAIN = ended(S.PROMOTED, C.NOT_CLEARED)


@pytest.mark.parametrize(
    ("said", "newest_first", "count"),
    [
        ("nothing was done yet", [], 0),
        ("two promoted in vain", [VAIN, VAIN], 2),
        (
            "rejected, failed and rolled back ones are in vain too",
            [ended(S.REJECTED), ended(S.FAILED), ended(S.ROLLED_BACK)],
            3,
        ),
        ("one that cleared its alert ends the row", [VAIN, ended(S.PROMOTED, C.CLEARED), VAIN], 1),
        ("so does one that a person asked for", [VAIN, ended(S.FAILED, by=""), VAIN], 1),
        ("one that is awaited says nothing", [ended(S.PROMOTED, C.WAITING), VAIN], 1),
        ("nor does one that was cancelled", [ended(S.CANCELLED), VAIN], 1),
        ("nor one that is under way", [ended(S.RUNNING), VAIN, VAIN], 2),
    ],
)
def test_retrains_in_a_row_that_were_in_vain(said: str, newest_first: list[Retrain], count: int) -> None:
    assert unconfirmed_in_a_row(newest_first) == count, said


def test_what_is_behind_an_alert_is_counted_once() -> None:
    assert (features_of(ALERT), slices_of(ALERT)) == (3, 2)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"action": "page"}, "pages nobody"),
        ({"action": "page", "receiver": "pager", "approval": "required"}, "approval"),
        ({"quiet_hours": ["22-6"]}, "no part of a day"),
        ({"timezone": "Mars"}, "no time zone"),
        ({"match": "alertname="}, "no matcher"),
        ({"cooldown": "soon"}, "not a duration"),
    ],
)
def test_settings_that_make_no_sense_are_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        policy(**given)


def test_a_decision_about_a_moment_later_is_the_same() -> None:
    assert decide(policy(), ALERT, FACTS, NOON) == decide(policy(), ALERT, FACTS, NOON + timedelta(minutes=1))


@pytest.mark.parametrize(
    ("policies", "says"),
    [
        ([{}, {}], "two policies are called 'again'"),
        ([{"receiver": "pagre"}], "no receiver 'pagre' in `receivers`; there is: pager, team"),
    ],
)
def test_policies_that_do_not_go_with_the_other_settings_are_refused(policies: list[dict[str, Any]], says: str) -> None:
    given = {"name": "again", "match": 'alertname="QualityLost"', "action": "retrain"}
    with pytest.raises(ValueError, match=says):
        settings_of(policies=[given | more for more in policies])
