"""What callers may send, and its limits; changes with what can be asked for.

Nothing here names a place to connect to, a file to read or a program to run: such come from settings alone. A candidate's
address is held to lie under the configured `candidates` before it is written down.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import structlog
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from monitor.act.nesting import MOST_LEVELS, is_deeper
from monitor.api.problems import in_one_line
from monitor.config.durations import parse_duration
from monitor.matchers import Matchers, longest_pattern, parse_matchers

_LONGEST_PATTERN = 200

_log = structlog.get_logger(__name__)

Line = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=500, strip_whitespace=True)]
"""One line of text that a person wrote."""


def _written(value: Any) -> Any:
    """Refuse a bare number, which would be taken for seconds or for milliseconds, whichever looks likelier."""
    if not isinstance(value, str) or value.lstrip("+-").replace(".", "").isdigit():
        raise ValueError("write a time as RFC 3339, as 2026-03-01T12:00:00Z")
    return value


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time lies within the years 1 to 9999, in UTC") from None


Moment = Annotated[AwareDatetime, BeforeValidator(_written), AfterValidator(_in_utc)]
"""A time with its zone, as RFC 3339."""
Name = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]+$", min_length=1, max_length=200)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Acknowledge(_Body):
    """Who has taken note."""

    by: Name | None = Field(None, description="A person's name, beside that of the token.")


class Assign(_Body):
    """Who looks after an alert."""

    to: Name
    by: Name | None = Field(None, description="A person's name, beside that of the token.")


def _duration(value: Any) -> Any:
    return parse_duration(value) if isinstance(value, str) else value


def _short(matchers: str) -> str:
    if longest_pattern(parse_matchers(matchers)) > _LONGEST_PATTERN:
        raise ValueError(f"a regular expression has at most {_LONGEST_PATTERN} characters")
    return matchers


class NewSilence(_Body):
    """What is to be muted, and until when."""

    matchers: Annotated[Matchers, AfterValidator(_short), Field(min_length=1, max_length=2_000)] = Field(
        description='Labels of the alerts, as `alertname="Drift", model=~"fl.*"`; all must match.'
    )
    comment: Line = Field(min_length=1, description="Why.")
    starts_at: Moment | None = Field(None, description="Now without it.")
    ends_at: Moment | None = Field(None, description="This, or `duration`.")
    duration: Annotated[timedelta, BeforeValidator(_duration, json_schema_input_type=str)] | None = Field(
        None, description="As `2h`, from its start; this, or `ends_at`."
    )
    by: Name | None = Field(None, description="A person's name, beside that of the token.")

    @model_validator(mode="after")
    def _one_end(self) -> NewSilence:
        if (self.ends_at is None) == (self.duration is None):
            raise ValueError("give either `ends_at` or `duration`")
        return self


class NewRetrain(_Body):
    """Which model is to be trained anew, and why."""

    model: Name
    reason: Line = Field(min_length=1, description="For people and for the audit log.")


class Cancel(_Body):
    """Why a retrain is ended."""

    reason: Line = ""


class Failed(_Body):
    """Why a training failed."""

    reason: Line = Field(min_length=1)


def _shallow(statistics: dict[str, Any]) -> dict[str, Any]:
    if is_deeper(statistics, MOST_LEVELS):
        raise ValueError(f"this is nested deeper than {MOST_LEVELS} levels")
    return statistics


class Completed(_Body):
    """What a training made; it is looked for under the configured `candidates` alone."""

    uri: Annotated[str, StringConstraints(min_length=1, max_length=1_000)] = Field(
        description="A path below `candidates`, or the whole address of one."
    )
    version: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._+-]{0,99}$")]
    statistics: Annotated[dict[str, Any], AfterValidator(_shallow)] = Field(
        default_factory=dict, description="What else there is to tell, as metrics; recorded."
    )


_Label = Annotated[str, StringConstraints(max_length=500)]


class PostedAlert(BaseModel):
    """One alert of an Alertmanager's message; fields that are not known here are no error."""

    status: Literal["firing", "resolved"]
    labels: Annotated[dict[str, _Label], Field(min_length=1, max_length=200)]
    annotations: dict[str, str] = {}
    startsAt: Moment  # noqa: N815 - Alertmanager's name
    endsAt: Moment | None = None  # noqa: N815 - Alertmanager's name
    generatorURL: str = ""  # noqa: N815 - Alertmanager's name
    fingerprint: str = ""


def _or_none(value: Any, validated: ValidatorFunctionWrapHandler) -> Any:
    """Let one bad alert not cost those beside it: whoever posts them says them once."""
    try:
        return validated(value)
    except ValidationError as error:
        _log.warning("alert_refused", why=in_one_line(error.errors()))
        return None


class PostedAlerts(BaseModel):
    """An Alertmanager's webhook message, version 4; fields that are not known here are no error, a bad alert is None."""

    version: Literal["4"]
    alerts: list[Annotated[PostedAlert | None, WrapValidator(_or_none)]] = Field(max_length=1_000)
    truncatedAlerts: int = Field(0, ge=0)  # noqa: N815 - Alertmanager's name
