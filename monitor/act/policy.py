"""Whether a policy acts on an alert, one rule after the other; changes with what may hold an action back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from monitor.act.decision import Decision, Outcome, Rule
from monitor.act.quiet_hours import quiet
from monitor.act.retrain import Confirmation, Retrain, RetrainState
from monitor.act.timing import lasts, words
from monitor.alert.alert import Alert
from monitor.config.policies import PolicySettings
from monitor.config.retraining import RetrainSettings
from monitor.matchers import all_match, parse_matchers


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is looked up for a decision.

    Attributes:
        silenced: why the alert is silenced; empty where it is not.
        last_action: when this policy last acted on this model.
        actions_today: how often it did in the last 24 hours.
        last_retrain: when the model's last retrain was asked for, by whomever.
        labelled_rows: of the model's recent windows.
        live: the model's retrain that has not ended.
        confirming: the promoted retrain whose alert is awaited to clear.
        unconfirmed: retrains in a row, asked for by policies, that left their alert firing.
        retrain: how the model is retrained; None where nothing says so.
        serving_gpus: name of the GPUs that serve it.
    """

    silenced: str = ""
    last_action: datetime | None = None
    actions_today: int = 0
    last_retrain: datetime | None = None
    labelled_rows: int = 0
    live: Retrain | None = None
    confirming: Retrain | None = None
    unconfirmed: int = 0
    retrain: RetrainSettings | None = None
    serving_gpus: str | None = None


def matches(policy: PolicySettings, alert: Alert) -> bool:
    """Say whether an alert is one that the policy is about."""
    return all_match(parse_matchers(policy.match), alert.labels)


def decide(policy: PolicySettings, alert: Alert, facts: Facts, now: datetime) -> Decision:
    """Decide about a firing alert: the first rule that holds the action back is the one that is named."""
    if not matches(policy, alert):
        unmatched = f"the alert's labels do not match {policy.match}"
        return Decision(Outcome.UNMATCHED, Rule.MATCH, unmatched, policy.action)
    for rule, holds in _RULES.items():
        held = holds(policy, alert, facts, now)
        if held is not None:
            return Decision(Outcome.HELD, rule, held, policy.action)
    if _needs_approval(policy, facts):
        return Decision(Outcome.ASKED, Rule.APPROVAL, "a person is asked to approve it", policy.action)
    return Decision(Outcome.ACTED, Rule.ALL_MET, "nothing holds it back", policy.action)


def features_of(alert: Alert) -> int:
    """Return how many features are behind an alert; a metric counts as one."""
    return len({each.get("feature") or each.get("measure") for each in alert.findings})


def slices_of(alert: Alert) -> int:
    """Return how many slices are behind an alert; all rows count as one."""
    return len({_slice_key(each.get("slice") or {}) for each in alert.findings})


def unconfirmed_in_a_row(newest_first: Sequence[Retrain]) -> int:
    """Return how many of a model's last retrains policies asked for in vain: they ended, and their alert did not clear.

    One that cleared its alert, or that a person asked for, ends the row. One that was cancelled, or is under way, says nothing.
    """
    count = 0
    for retrain in newest_first:
        if not retrain.policy or retrain.confirmation is Confirmation.CLEARED:
            break
        waits = retrain.confirmation is Confirmation.WAITING
        if retrain.ended and not waits and retrain.state is not RetrainState.CANCELLED:
            count += 1
    return count


def _silenced(_policy: PolicySettings, _alert: Alert, facts: Facts, _now: datetime) -> str | None:
    return f"the alert is silenced: {facts.silenced}" if facts.silenced else None


def _acknowledged(policy: PolicySettings, alert: Alert, _facts: Facts, _now: datetime) -> str | None:
    if policy.action == "page" and alert.acknowledged_by is not None:
        return f"{alert.acknowledged_by} has taken note of it"
    return None


def _debounce(policy: PolicySettings, alert: Alert, _facts: Facts, now: datetime) -> str | None:
    firing = lasts(alert.fired_at or now, now)
    if firing < policy.debounce:
        return f"it has not been firing for {words(policy.debounce)} yet"
    return None


def _quiet_hours(policy: PolicySettings, _alert: Alert, _facts: Facts, now: datetime) -> str | None:
    hours = quiet(policy.quiet_hours, policy.timezone, now)
    return None if hours is None else f"quiet hours {hours} ({policy.timezone})"


def _quorum(policy: PolicySettings, alert: Alert, _facts: Facts, _now: datetime) -> str | None:
    if not alert.findings and policy.quorum.features <= 1 and policy.quorum.slices <= 1:
        return None  # such as an Alertmanager's, which cannot say what is behind it
    features, slices = features_of(alert), slices_of(alert)
    if features < policy.quorum.features:
        return f"{features} feature(s) behind it, of {policy.quorum.features} that there must be"
    if slices < policy.quorum.slices:
        return f"{slices} slice(s) behind it, of {policy.quorum.slices} that there must be"
    return None


def _labelled_rows(policy: PolicySettings, _alert: Alert, facts: Facts, _now: datetime) -> str | None:
    needed = policy.min_labelled_rows
    if policy.action == "retrain" and facts.retrain is not None:
        needed = max(needed, facts.retrain.min_labelled_rows)
    if facts.labelled_rows < needed:
        return f"{facts.labelled_rows} labelled rows, of {needed} that there must be"
    return None


def _cooldown(policy: PolicySettings, _alert: Alert, facts: Facts, now: datetime) -> str | None:
    if _within(facts.last_action, policy.cooldown, now):
        return f"it acted on the model less than {words(policy.cooldown)} ago"
    if policy.action == "retrain" and facts.retrain is not None:
        cooldown = facts.retrain.cooldown
        if _within(facts.last_retrain, cooldown, now):
            return f"the model's last retrain was asked for less than {words(cooldown)} ago"
    return None


def _within(last: datetime | None, cooldown: timedelta, now: datetime) -> bool:
    return last is not None and lasts(last, now) < cooldown


def _budget(policy: PolicySettings, _alert: Alert, facts: Facts, _now: datetime) -> str | None:
    if facts.actions_today >= policy.max_per_day:
        return f"it acted {facts.actions_today} time(s) on the model in 24 hours, which is all that it may"
    return None


def _target(policy: PolicySettings, _alert: Alert, facts: Facts, _now: datetime) -> str | None:
    return _TARGETS[policy.action](facts)


def _can_retrain(facts: Facts) -> str | None:
    return "nothing says how the model is retrained" if facts.retrain is None else None


def _has_gpus(facts: Facts) -> str | None:
    return "nothing says which GPUs serve the model" if facts.serving_gpus is None else None


def _has_canary(facts: Facts) -> str | None:
    if facts.live is None or facts.live.state is not RetrainState.CANARY:
        return "the model has no canary"
    if "promoting" in facts.live.details or "rolling_back" in facts.live.details:
        return "it is being promoted or rolled back already"
    return None


def _has_no_canary_to_promote(facts: Facts) -> str | None:
    held = _has_canary(facts)
    if held is None and facts.live is not None and facts.live.details.get("asked"):
        return "it was asked to be promoted or rolled back already"
    return held


_TARGETS: Mapping[str, Callable[[Facts], str | None]] = {
    "retrain": _can_retrain,
    "gpu_check": _has_gpus,
    "promote": _has_no_canary_to_promote,
    "rollback": _has_canary,
    "page": lambda _: None,
}


def _live(policy: PolicySettings, _alert: Alert, facts: Facts, _now: datetime) -> str | None:
    if policy.action == "retrain" and facts.live is not None:
        return f"the model is being retrained already, by {facts.live.retrain_id}"
    return None


def _confirming(policy: PolicySettings, _alert: Alert, facts: Facts, _now: datetime) -> str | None:
    if policy.action == "retrain" and facts.confirming is not None:
        return f"whether retrain {facts.confirming.retrain_id} clears its alert is still to be seen"
    return None


def _circles(policy: PolicySettings, _alert: Alert, facts: Facts, _now: datetime) -> str | None:
    if policy.action == "retrain" and facts.unconfirmed >= policy.max_unconfirmed:
        return (
            f"{facts.unconfirmed} retrain(s) in a row left their alert firing: a person must look, "
            "and trigger one, or confirm the last"
        )
    return None


_Holds = Callable[[PolicySettings, Alert, Facts, datetime], str | None]
_RULES: dict[Rule, _Holds] = {
    Rule.SILENCED: _silenced,
    Rule.ACKNOWLEDGED: _acknowledged,
    Rule.DEBOUNCE: _debounce,
    Rule.QUIET_HOURS: _quiet_hours,
    Rule.QUORUM: _quorum,
    Rule.LABELLED_ROWS: _labelled_rows,
    Rule.COOLDOWN: _cooldown,
    Rule.BUDGET: _budget,
    Rule.TARGET: _target,
    Rule.LIVE: _live,
    Rule.CONFIRMING: _confirming,
    Rule.CIRCLES: _circles,
}
"""What holds an action back, in the order in which it is asked: each says why, or None."""


def _needs_approval(policy: PolicySettings, facts: Facts) -> bool:
    asks = policy.approval == "required" or (facts.retrain is not None and facts.retrain.approval == "required")
    return policy.action == "retrain" and asks


def _slice_key(slice_: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, str(value)) for name, value in slice_.items()))
