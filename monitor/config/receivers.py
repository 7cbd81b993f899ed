"""What `receivers` may say: where alerts are sent; changes with the kinds of receivers."""

from __future__ import annotations

import base64
import re
from datetime import timedelta
from ipaddress import IPv6Address
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from monitor.config.durations import Duration
from monitor.config.strict import Strict

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a token of RFC 9110
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
_OURS = ("content-type", "content-length", "host", "idempotency-key", "transfer-encoding", "webhook-")
_WEB_ADDRESS = re.compile(r"https?://[^\s/?#][^\s]*")
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"  # of RFC 5322; quoted and international addresses are left out
_MAIL_ADDRESS = re.compile(rf"{_ATOM}(\.{_ATOM})*@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_HOST = re.compile(r"[\w.-]{1,253}")
_SECRET_BYTES = range(24, 65)  # as Standard Webhooks demands of a symmetric secret

_HTTP = {"url", "headers"}
_MAIL = {"host", "port", "tls", "username", "password", "from_", "to"}
_OWN = {
    "webhook": {*_HTTP, "signing_secret"},
    "cloudevents": {*_HTTP, "signing_secret"},
    "slack": _HTTP,
    "teams": _HTTP,
    "pagerduty": {*_HTTP, "routing_key"},
    "alertmanager": {*_HTTP, "holds_for"},
    "email": _MAIL,
}
_NEEDED = {
    "webhook": ("url",),
    "cloudevents": ("url",),
    "slack": ("url",),
    "teams": ("url",),
    "pagerduty": ("routing_key",),
    "alertmanager": ("url",),
    "email": ("host", "from_", "to"),
}
_PORTS = {"starttls": 587, "tls": 465, "none": 25}


def _mail_address(text: str) -> str:
    if not _MAIL_ADDRESS.fullmatch(text):
        raise ValueError(f"{text!r} is not a mail address, as name@example.org")
    return text


MailAddress = Annotated[str, AfterValidator(_mail_address)]


class ReceiverSettings(Strict):
    """One receiver."""

    type: Literal["webhook", "cloudevents", "slack", "pagerduty", "teams", "email", "alertmanager"] = Field(
        description="What it understands; webhook: Alertmanager's version 4 payload; alertmanager: a real one's API."
    )
    url: SecretStr | None = Field(
        None,
        description="Where to post to; not for email. Of an alertmanager without /api/v2/alerts; of pagerduty where yours is not "
        "events.pagerduty.com.",
    )
    headers: dict[str, SecretStr] = Field(
        default_factory=dict, description="More headers of each request, as `Authorization: Bearer ${TOKEN}`."
    )
    signing_secret: SecretStr | None = Field(
        None,
        description="Standard Webhooks' secret (whsec_...), with which messages of webhook and cloudevents are signed.",
    )
    routing_key: SecretStr | None = Field(None, description="Of pagerduty: the integration key of an Events API v2.")
    holds_for: Duration = Field(
        timedelta(days=7),
        description="Of alertmanager: how long it takes an alert to fire that it does not hear of again.",
    )
    host: str | None = Field(None, min_length=1, description="Of email: the mail server (SMTP).")
    port: int | None = Field(
        None, ge=1, le=65535, description="Of email: its port; 587 with starttls, 465 with tls, 25 with none."
    )
    tls: Literal["starttls", "tls", "none"] = Field(
        "starttls",
        description="Of email: how the connection is encrypted; a server that does not offer it gets no mail.",
    )
    username: str | None = Field(None, description="Of email: user to sign in as.")
    password: SecretStr | None = Field(
        None, description="Of email: password; write ${NAME} and keep it out of the file."
    )
    from_: MailAddress | None = Field(None, alias="from", description="Of email: who it is from.")
    to: list[MailAddress] = Field(default_factory=list, description="Of email: who gets it.")
    timeout: Duration = Field(timedelta(seconds=10), description="How long an answer may take.")
    give_up_after: Duration = Field(
        timedelta(days=1), description="Age at which a message that was tried in vain is given up."
    )
    max_per_minute: int = Field(
        60, ge=1, le=10_000, description="Messages a minute, of which a tenth may go at once; more of them wait."
    )
    send_resolved: bool = Field(True, description="Whether to tell of the end of an alert too.")

    @property
    def smtp_port(self) -> int:
        """The mail server's port, the usual one where none is set."""
        return self.port or _PORTS[self.tls]

    @model_validator(mode="after")
    def _what_its_type_needs(self) -> Self:
        for name in _NEEDED[self.type]:
            if not getattr(self, name):
                raise ValueError(f"`type: {self.type}` needs `{name.rstrip('_')}`")
        for name in sorted(
            (_MAIL | {"url", "headers", "signing_secret", "routing_key", "holds_for"}) - _OWN[self.type]
        ):
            if name in self.model_fields_set:
                raise ValueError(f"`{name.rstrip('_')}` does not go with `type: {self.type}`")
        return self

    @model_validator(mode="after")
    def _web(self) -> Self:
        if self.url is not None and not _WEB_ADDRESS.fullmatch(self.url.get_secret_value()):
            raise ValueError("`url` must be an http:// or https:// address")
        for name, value in self.headers.items():
            if not _HEADER_NAME.fullmatch(name) or name.lower().startswith(_OURS):
                raise ValueError(f"`headers` cannot set {name!r}")
            if not _HEADER_VALUE.fullmatch(value.get_secret_value()):
                raise ValueError(f"the value of {name!r} in `headers` must be of printable ASCII characters")
        if self.signing_secret is not None and not _is_secret(self.signing_secret.get_secret_value()):
            raise ValueError("`signing_secret` must be whsec_ and 24 to 64 bytes in base64")
        return self

    @model_validator(mode="after")
    def _mail(self) -> Self:
        if self.host is not None and not _is_host(self.host):
            raise ValueError(f"`host` {self.host!r} is not the name or address of a mail server")
        if not (self.username or "").isascii() or not (
            self.password is None or self.password.get_secret_value().isascii()
        ):
            raise ValueError("`username` and `password` must be of ASCII characters: mail servers are told no others")
        if (self.username is None) != (self.password is None):
            raise ValueError("`username` goes with `password`")
        if self.password is not None and self.tls == "none":
            raise ValueError("`password` needs `tls: starttls` or tls: nothing would hide it on its way")
        return self

    @model_validator(mode="after")
    def _times(self) -> Self:
        for name in ("timeout", "give_up_after", "holds_for"):
            if getattr(self, name) < timedelta(seconds=1):
                raise ValueError(f"`{name}` must be at least 1s")
        if self.timeout > timedelta(minutes=5):
            raise ValueError("`timeout` must be at most 5m")
        return self


def _is_host(text: str) -> bool:
    try:
        if ":" in text:
            return bool(IPv6Address(text))
        return _HOST.fullmatch(text) is not None and bool(text.encode("idna"))
    except ValueError:  # a label that is empty or too long
        return False


def _is_secret(text: str) -> bool:
    prefix, _, encoded = text.partition("_")
    try:
        return prefix == "whsec" and len(base64.b64decode(encoded, validate=True)) in _SECRET_BYTES
    except ValueError:
        return False
