"""What `receivers` may say: where alerts are sent; changes with the kinds of receivers."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field, SecretStr

from monitor.config.durations import Duration
from monitor.config.strict import Strict


class ReceiverSettings(Strict):
    """One receiver."""

    type: Literal["webhook", "cloudevents", "slack", "pagerduty", "teams", "email", "alertmanager"] = Field(
        description="What it understands; webhook: Alertmanager's version 4 payload; alertmanager: a real one's API."
    )
    url: SecretStr | None = Field(None, description="Where to post to; not for email.")
    signing_secret: SecretStr | None = Field(
        None, description="Standard Webhooks' secret (whsec_...), with which messages are signed."
    )
    timeout: Duration = Field(timedelta(seconds=10), description="How long an answer may take.")
    give_up_after: Duration = Field(timedelta(days=1), description="Age at which a message is no longer sent.")
    max_per_minute: int = Field(60, ge=1, le=10_000, description="Messages a minute; more of them wait.")
    send_resolved: bool = Field(True, description="Whether to tell of the end of an alert too.")
