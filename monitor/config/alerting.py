"""What `alerts` and `routes` may say: when something is an alert, and who is told; changes with how alerts are set up."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from datetime import timedelta
from typing import Literal, Self

from pydantic import Field, model_validator

from monitor.config.durations import Duration
from monitor.config.located import Problem
from monitor.config.strict import Strict
from monitor.matchers import Matchers
from monitor.texts import TemplateText

RESERVED_LABELS = ("alertname", "model", "severity")
"""Labels that every alert has by itself."""


class Expression(Strict):
    """A condition on one window of a model: exactly one of these."""

    findings: Matchers | None = Field(
        None, description="Some flagged finding of the window's traffic matches, on any slice and version."
    )
    quality: Matchers | None = Field(
        None, description="Some flagged finding of the window's final evaluation matches, on any slice and version."
    )
    all: list[Expression] | None = Field(None, min_length=1, description="All of these hold.")
    any: list[Expression] | None = Field(None, min_length=1, description="At least one of these holds.")
    not_: Expression | None = Field(None, alias="not", description="This does not hold.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if len(self.model_fields_set) != 1 or all(getattr(self, name) is None for name in self.model_fields_set):
            raise ValueError("give exactly one of `findings`, `quality`, `all`, `any` and `not`")
        return self


class AlertSettings(Strict):
    """One rule, in Prometheus' words; it makes at most one alert a model."""

    alert: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="Name of the alert.")
    models: list[str] = Field(default_factory=list, description="Models that it is about; all without it.")
    expr: Expression | None = Field(None, description="What must hold of a window.")
    no_data_for: Duration | None = Field(
        None, description="Instead of `expr`: how long there may be no window with rows."
    )
    for_: int = Field(1, ge=1, le=1000, alias="for", description="Windows that must match before it fires.")
    of: int | None = Field(
        None, ge=1, le=1000, description="Among how many windows in a row they may lie; as many as `for` without it."
    )
    keep_firing_for: int = Field(
        0,
        ge=0,
        le=1000,
        description="For how many more windows it fires after the last at which `for` of `of` windows matched.",
    )
    severity: Literal["critical", "warning", "info"] = Field("warning", description="Label of that name.")
    labels: dict[str, str] = Field(default_factory=dict, description="More labels, to route and silence by.")
    annotations: dict[str, TemplateText] = Field(
        default_factory=dict,
        description="Texts for people, as Jinja templates over `labels`, `model`, `findings` and `windows`.",
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.expr is None) == (self.no_data_for is None):
            raise ValueError("give either `expr` or `no_data_for`")
        if self.of is not None and self.of < self.for_:
            raise ValueError("`of` is at least `for`")
        counting = {"for_": "for", "of": "of", "keep_firing_for": "keep_firing_for"}
        counts = [alias for name, alias in counting.items() if name in self.model_fields_set]
        if self.no_data_for is not None and counts:
            raise ValueError(f"`{counts[0]}` counts windows, of which `no_data_for` waits for none")
        for name in self.labels:
            if name in RESERVED_LABELS:
                raise ValueError(f"label {name!r} is every alert's own; `severity` has a key of its own")
            if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is None:
                raise ValueError(f"{name!r} is no name of a label; use letters, digits and _")
        return self


class RouteSettings(Strict):
    """Who is told of which alerts; the first route that matches decides, unless it says `continue`."""

    match: Matchers = Field("", description="Labels of the alerts; all without it.")
    receivers: list[str] = Field(description="Names from `receivers`; none drops the alerts.")
    repeat_interval: Duration = Field(timedelta(hours=4), description="After how long a firing alert is told again.")
    continue_: bool = Field(False, alias="continue", description="Whether later routes are tried too.")


def default_alerts() -> list[AlertSettings]:
    """Return the rules of a settings file that has none."""
    return [
        AlertSettings.model_validate(
            {
                "alert": "TrafficChanged",
                "expr": {"findings": ""},
                "annotations": {"summary": "{{ model }}: traffic differs from its reference"},
            }
        ),
        AlertSettings.model_validate(
            {
                "alert": "QualityLost",
                "expr": {"quality": ""},
                "severity": "critical",
                "annotations": {"summary": "{{ model }}: predictions are worse than usual"},
            }
        ),
    ]


def misnamed(
    alerts: Sequence[AlertSettings],
    routes: Sequence[RouteSettings],
    models: Collection[str],
    receivers: Collection[str],
) -> Iterator[Problem]:
    """Yield what rules and routes name that is not there, and rules of one name."""
    seen: set[str] = set()
    for place, rule in enumerate(alerts):
        if rule.alert in seen:
            yield ("alerts", place, "alert"), f"there are two rules {rule.alert!r}"
        seen.add(rule.alert)
        for model in rule.models:
            if model not in models:
                yield ("alerts", place, "models"), f"no model {model!r}; there is: {', '.join(sorted(models))}"
    for place, route in enumerate(routes):
        for receiver in route.receivers:
            if receiver not in receivers:
                known = ", ".join(sorted(receivers)) or "none"
                yield ("routes", place, "receivers"), f"no receiver {receiver!r} in `receivers`; there is: {known}"
