"""What `policies` may say: what is done about which alerts; changes with what may hold an action back."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import timedelta
from typing import Literal

from pydantic import Field, model_validator

from monitor.config.durations import Duration
from monitor.config.hours import Hours, Zone
from monitor.config.located import Problem
from monitor.config.strict import Strict
from monitor.matchers import Matchers


class QuorumSettings(Strict):
    """How much must have changed."""

    features: int = Field(
        1,
        ge=0,
        description="Least number of features (or metrics) behind the alert, where it tells any or this is over 1.",
    )
    slices: int = Field(0, ge=0, description="Least number of slices behind it, all rows counting as one.")


class PolicySettings(Strict):
    """One policy: alerts that match, and what is done about them."""

    name: str = Field(min_length=1, description="Its name in decisions.")
    match: Matchers = Field(description="Labels of the firing alerts that it is about.")
    action: Literal["retrain", "gpu_check", "promote", "rollback", "page"] = Field(description="What is done.")
    receiver: str | None = Field(
        None, description="Whom to tell, a name from `receivers`; without it all of them, but `page` needs one."
    )
    debounce: Duration = Field(timedelta(0), description="How long the alert must have been firing.")
    cooldown: Duration = Field(timedelta(hours=24), description="Least time between two actions on one model.")
    quorum: QuorumSettings = QuorumSettings()
    max_per_day: int = Field(1, ge=1, description="Most actions on one model within 24 hours.")
    min_labelled_rows: int = Field(0, ge=0, description="Labelled rows there must be of the model's recent windows.")
    quiet_hours: list[Hours] = Field(
        default_factory=list, description="Hours in which nothing is done, as 22:00-06:00, in `timezone`."
    )
    timezone: Zone = Field("UTC", description="Of the quiet hours, as Europe/Berlin.")
    approval: Literal["none", "required"] = Field("none", description="Whether a person must agree first.")
    max_unconfirmed: int = Field(
        2, ge=1, description="Retrains in a row that may leave their alert firing, before the policy stops."
    )

    @model_validator(mode="after")
    def _what_goes_with_what(self) -> PolicySettings:
        if self.action == "page" and self.receiver is None:
            raise ValueError(f"policy {self.name!r} pages nobody: give it a `receiver`")
        if self.approval == "required" and self.action != "retrain":
            raise ValueError(f"policy {self.name!r}: `approval` is for `action: retrain`")
        return self


def misnamed_policies(policies: Sequence[PolicySettings], receivers: Collection[str]) -> Iterator[Problem]:
    """Yield where policies share a name, by which decisions are told apart, or tell a receiver that there is not, and why."""
    names: set[str] = set()
    for place, policy in enumerate(policies):
        if policy.name in names:
            yield ("policies", place, "name"), f"two policies are called {policy.name!r}"
        names.add(policy.name)
        if policy.receiver is not None and policy.receiver not in receivers:
            known = ", ".join(sorted(receivers)) or "none"
            yield ("policies", place, "receiver"), f"no receiver {policy.receiver!r} in `receivers`; there is: {known}"
