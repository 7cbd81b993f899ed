"""What `retrain.canary` may say: how a candidate serves a part of the traffic first; changes with how versions are rolled out."""

from __future__ import annotations

import base64
import re
from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator

from monitor.config.durations import Duration
from monitor.config.strict import Strict

_WEB_ADDRESS = re.compile(r"https?://[^\s/?#][^\s]*")
_SECRET_BYTES = range(24, 65)  # as Standard Webhooks demands of a symmetric secret
_LABEL = r"^[A-Za-z_][A-Za-z0-9_.-]{0,99}$"


class TfServingSettings(Strict):
    """A TensorFlow Serving whose model config is changed."""

    model_config_file: Path = Field(description="Its `--model_config_file`; only this model's entry is changed.")
    rest: str = Field(
        description="Address of its REST port, as http://127.0.0.1:8501.", pattern=r"^https?://[^/?#@]+/?$"
    )
    grpc: str | None = Field(
        None,
        description="host:port of its gRPC port, to tell it of a changed config at once; without it, it must poll the file "
        "(`--model_config_file_poll_wait_seconds`).",
        pattern=r"^[^/]+:\d+$",
    )
    grpc_ca_file: Path | None = Field(
        None, description="PEM certificates to trust its gRPC port by; without it the connection is in the clear."
    )
    model: str | None = Field(None, description="Name of the model there; the name here without it.", min_length=1)
    base_path: Path | None = Field(
        None, description="Folder of its versions as this machine calls it; the entry's `base_path` without it."
    )
    stable_label: str = Field("stable", description="Label of the version that all may use.", pattern=_LABEL)
    canary_label: str = Field("canary", description="Label of the version that is tried.", pattern=_LABEL)
    wait_for_available: Duration = Field(
        timedelta(minutes=5), description="How long it may take to load a version and to take up a config."
    )
    timeout: Duration = Field(timedelta(seconds=10), description="How long an answer of its may take.")
    keep_previous: int = Field(
        1, ge=0, le=100, description="Versions from before that stay loaded after a promotion, to go back to."
    )

    @model_validator(mode="after")
    def _names(self) -> TfServingSettings:
        if self.stable_label == self.canary_label:
            raise ValueError("`stable_label` and `canary_label` are the same")
        if self.grpc_ca_file is not None and self.grpc is None:
            raise ValueError("`grpc_ca_file` goes with `grpc`")
        return self


class CanaryWebhookSettings(Strict):
    """Whoever else brings versions into service: asked to begin, promote and roll back."""

    url: SecretStr = Field(description="Where to post to.")
    signing_secret: SecretStr | None = Field(
        None, description="Standard Webhooks' secret (whsec_...), with which requests are signed."
    )
    timeout: Duration = Field(timedelta(seconds=10), description="How long an answer may take.")
    give_up_after: Duration = Field(timedelta(minutes=30), description="How long to ask for the beginning, at most.")

    @model_validator(mode="after")
    def _usable(self) -> CanaryWebhookSettings:
        if not _WEB_ADDRESS.fullmatch(self.url.get_secret_value()):
            raise ValueError("`url` is no http or https address")
        if self.signing_secret is not None and not _is_secret(self.signing_secret.get_secret_value()):
            raise ValueError("`signing_secret` must be whsec_ and 24 to 64 bytes in base64")
        return self


class CanarySettings(Strict):
    """How a candidate serves a part of the traffic first, by TensorFlow Serving's model config or by a webhook."""

    tf_serving: TfServingSettings | None = Field(None, description="A TensorFlow Serving that serves the model.")
    webhook: CanaryWebhookSettings | None = Field(None, description="Or whoever serves it.")
    watch_for: Duration = Field(timedelta(hours=6), description="Event time for which it is watched, at most.")
    min_rows: int = Field(
        1_000, ge=1, description="Rows of the candidate's, and of the stable version's, below which nothing is decided."
    )
    give_up_after: Duration = Field(
        timedelta(days=1), description="Event time after which a candidate that is still undecided is rolled back."
    )
    labels: Literal["use", "require"] = Field(
        "use",
        description="Whether labels only count where they have come, or must have shown that it is no worse.",
    )
    metrics: list[str] = Field(
        default_factory=list,
        description="Metrics of docs/versions.md by which it must not be worse; the first loss of the problem without it.",
    )
    margin: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="Largest difference in these that does not matter."
    )
    alpha: float = Field(
        0.05, gt=0, lt=0.5, description="Probability that a candidate as good as the stable version is found worse."
    )
    max_prediction_shift: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Largest distance (Kolmogorov-Smirnov, or L-infinity of classes; on the baseline's cells) between what both "
        "predict at the same time; not limited without it: a model trained anew is meant to predict otherwise.",
    )

    @property
    def patience(self) -> timedelta:
        """How long the beginning is tried."""
        if self.tf_serving is not None:
            return self.tf_serving.wait_for_available
        return self.webhook.give_up_after if self.webhook is not None else timedelta(0)

    @model_validator(mode="after")
    def _one_way(self) -> CanarySettings:
        if (self.tf_serving is None) == (self.webhook is None):
            raise ValueError("give either `tf_serving` or `webhook`")
        if self.give_up_after < self.watch_for:
            raise ValueError("`give_up_after` is shorter than `watch_for`")
        if self.labels == "require" and self.margin is None:
            raise ValueError("`labels: require` needs a `margin`: without one nothing is ever shown to be no worse")
        return self


def _is_secret(text: str) -> bool:
    try:
        decoded = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except ValueError:
        return False
    return text.startswith("whsec_") and len(decoded) in _SECRET_BYTES
