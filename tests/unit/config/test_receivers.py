"""What `receivers` may say, and what is said of what they may not."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.config.loading import parse_settings
from monitor.config.receivers import ReceiverSettings
from monitor.errors import ConfigError

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 (of these tests)
MAIL = {"type": "email", "host": "mail.example", "from": "driftline@example.org", "to": ["ada@example.org"]}
HOOK = {"type": "webhook", "url": "https://example.org/hook"}

GOOD: dict[str, dict[str, Any]] = {
    "a signed webhook": {**HOOK, "signing_secret": SECRET, "headers": {"Authorization": "Bearer x"}},
    "CloudEvents": {"type": "cloudevents", "url": "http://127.0.0.1:80/"},
    "Slack": {"type": "slack", "url": "https://hooks.slack.com/services/T/B/x"},
    "Teams": {"type": "teams", "url": "https://example.org/workflows/x?sig=y"},
    "PagerDuty": {"type": "pagerduty", "routing_key": "r"},
    "PagerDuty in Europe": {
        "type": "pagerduty",
        "routing_key": "r",
        "url": "https://events.eu.pagerduty.com/v2/enqueue",
    },
    "an Alertmanager": {"type": "alertmanager", "url": "http://localhost:9093", "holds_for": "2d"},
    "mail": MAIL,
    "mail, by an address": {**MAIL, "host": "::1"},
    "mail, by an international name": {**MAIL, "host": "mail.bücher.example"},
    "mail, signed in": {**MAIL, "username": "u", "password": "p", "tls": "tls", "port": 4650},
}

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a webhook to nowhere": ({"type": "webhook"}, "`type: webhook` needs `url`"),
    "PagerDuty without a key": ({"type": "pagerduty"}, "`type: pagerduty` needs `routing_key`"),
    "mail without a server": ({**MAIL, "host": None}, "`type: email` needs `host`"),
    "mail from nobody": ({**MAIL, "from": None}, "`type: email` needs `from`"),
    "mail to nobody": ({**MAIL, "to": []}, "`type: email` needs `to`"),
    "mail to an address": ({**MAIL, "url": "https://a/"}, "`url` does not go with `type: email`"),
    "a webhook with mail addresses": ({**HOOK, "to": ["a@b"]}, "`to` does not go with `type: webhook`"),
    "a signed Slack": ({"type": "slack", "url": "https://a/", "signing_secret": SECRET}, "does not go with `type: slack`"),
    "a file": ({**HOOK, "url": "file:///etc/passwd"}, "`url` must be an http:// or https:// address"),
    "an address on two lines": ({**HOOK, "url": "http://a/\nb"}, "`url` must be an http:// or https:// address"),
    "half a signing secret": ({**HOOK, "signing_secret": "whsec_YWJj"}, "`signing_secret` must be whsec_ and 24 to 64"),
    "a password as signing secret": ({**HOOK, "signing_secret": "hunter2"}, "`signing_secret` must be whsec_"),
    "a header of ours": ({**HOOK, "headers": {"Webhook-Id": "1"}}, "`headers` cannot set 'Webhook-Id'"),
    "a header that ends the line": ({**HOOK, "headers": {"X": "a\r\nY: b"}}, "the value of 'X' in `headers`"),
    "a header's name with a colon": ({**HOOK, "headers": {"X:": "a"}}, "`headers` cannot set 'X:'"),
    "mail from two lines": ({**MAIL, "from": "a@b\nBcc: c@d"}, "is not a mail address"),
    "mail to a list in one text": ({**MAIL, "to": ["a@b, c@d"]}, "is not a mail address"),
    "mail to no host": ({**MAIL, "to": ["a@"]}, "is not a mail address"),
    "mail to dots": ({**MAIL, "to": [".a@b"]}, "is not a mail address"),
    "mail by a part of a name that is too long": ({**MAIL, "host": "x" * 70}, "is not the name or address"),
    "mail by a name without a part": ({**MAIL, "host": "mail..example"}, "is not the name or address"),
    "mail by a web address": ({**MAIL, "host": "smtp://mail.example"}, "is not the name or address"),
    "mail by a host with its port": ({**MAIL, "host": "mail.example:25"}, "is not the name or address"),
    "a password with an accent": ({**MAIL, "username": "u", "password": "é"}, "must be of ASCII characters"),
    "a user without password": ({**MAIL, "username": "u"}, "`username` goes with `password`"),
    "a password in the clear": (
        {**MAIL, "username": "u", "password": "p", "tls": "none"},
        "nothing would hide it on its way",
    ),
    "no time at all": ({**HOOK, "timeout": "0s"}, "`timeout` must be at least 1s"),
    "patience": ({**HOOK, "timeout": "1h"}, "`timeout` must be at most 5m"),
}  # fmt: skip


@pytest.mark.parametrize("settings", GOOD.values(), ids=GOOD)
def test_a_receiver_that_has_what_its_type_needs(settings: dict[str, Any]) -> None:
    assert ReceiverSettings.model_validate(settings).type == settings["type"]


@pytest.mark.parametrize(("settings", "said"), BAD.values(), ids=BAD)
def test_a_receiver_that_cannot_work_is_refused_at_the_start(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        ReceiverSettings.model_validate({name: value for name, value in settings.items() if value is not None})


@pytest.mark.parametrize(("tls", "port"), [("starttls", 587), ("tls", 465), ("none", 25)])
def test_a_mail_server_has_the_usual_port(tls: str, port: int) -> None:
    assert ReceiverSettings.model_validate({**MAIL, "tls": tls}).smtp_port == port


def test_errors_and_settings_keep_secrets() -> None:
    text = "models: {m: {traffic: {files: x}}}\nreceivers: {r: {type: webhook, url: 's3cr3t', signing_secret: s3cr3t}}"
    with pytest.raises(ConfigError) as caught:
        parse_settings(text, "driftline.yaml", {})
    assert "s3cr3t" not in str(caught.value)
    assert "driftline.yaml:2: receivers.r" in str(caught.value)
    secrets = {"url": "https://s3cr3t/", "headers": {"X": "s3cr3t"}, "routing_key": "s3cr3t"}
    assert "s3cr3t" not in repr(ReceiverSettings.model_validate({"type": "pagerduty", **secrets}))
