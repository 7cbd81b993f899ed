"""Each format against the rules of who reads it, and against the payloads that were looked at once (tests/golden/payloads)."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.alert.notification import Notification, Told
from monitor.alert.payloads.alertmanager_api import alertmanager_api
from monitor.alert.payloads.alertmanager_webhook import alertmanager_webhook
from monitor.alert.payloads.cloud_event import cloud_event
from monitor.alert.payloads.content import content_of
from monitor.alert.payloads.mail import mail
from monitor.alert.payloads.pagerduty import pagerduty
from monitor.alert.payloads.slack import slack
from monitor.alert.payloads.teams import teams
from monitor.alert.payloads.texts import fitted, one_line
from tests.notifications import NOON, nasty, notification

GOLDEN = Path(__file__).resolve().parents[3] / "golden" / "payloads"
WEEK = timedelta(days=7)
FORMATS: dict[str, Callable[[Notification], Any]] = {
    "alertmanager_webhook": lambda each: alertmanager_webhook(each, NOON),
    "alertmanager_api": lambda each: alertmanager_api(each, NOON, NOON + timedelta(minutes=1), WEEK),
    "cloud_event": lambda each: cloud_event(each, NOON),
    "slack": slack,
    "pagerduty": lambda each: pagerduty(each, "key", NOON),
    "teams": teams,
}
ALL = [notification(kind) for kind in Told] + [nasty(kind) for kind in Told]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("kind", [Told.FIRING, Told.RESOLVED, Told.APPROVAL])
def test_a_payload_is_the_one_that_was_looked_at(name: str, kind: Told) -> None:
    made = FORMATS[name](notification(kind))
    file = GOLDEN / f"{name}_{kind}.json"
    if os.environ.get("DRIFTLINE_WRITE_GOLDEN"):
        file.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    assert made == json.loads(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("each", ALL, ids=lambda each: each.kind)
def test_every_kind_can_be_told_in_every_format_as_strict_json(name: str, each: Notification) -> None:
    made = FORMATS[name](each)
    assert json.loads(json.dumps(made, allow_nan=False).encode()) == made


@pytest.mark.parametrize("each", ALL, ids=lambda each: each.kind)
def test_alertmanagers_webhook_has_its_fields_and_no_others(each: Notification) -> None:
    made = alertmanager_webhook(each, NOON)
    assert set(made) == {
        *("version", "groupKey", "truncatedAlerts", "status", "receiver", "groupLabels", "commonLabels"),
        *("commonAnnotations", "externalURL", "alerts"),
    }
    (told,) = made["alerts"]
    assert set(told) == {*("status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "fingerprint")}
    assert (made["version"], made["truncatedAlerts"]) == ("4", 0)
    assert made["status"] == told["status"] == ("resolved" if each.kind is Told.RESOLVED else "firing")
    assert (told["endsAt"] == "0001-01-01T00:00:00Z") == (told["status"] == "firing")
    assert all(isinstance(text, str) for text in [*told["labels"].values(), *told["annotations"].values()])
    assert told["labels"]["alertname"]
    assert datetime.fromisoformat(told["startsAt"]) == NOON


def test_the_features_behind_an_alert_are_told_to_alertmanagers_too() -> None:
    annotations = alertmanager_webhook(notification(), NOON)["alerts"][0]["annotations"]
    assert annotations["findings"].splitlines()[0] == (
        "feature_0 where origin = JFK: cohens_d 0.41 (limit 0.2) against training: the mean moved from 12.6 to 21.7"
    )
    own = notification(annotations={"findings": "mine"})
    assert alertmanager_webhook(own, NOON)["commonAnnotations"]["findings"] == "mine"


def test_a_firing_alert_is_handed_over_with_an_end_that_is_far_and_a_resolved_one_with_its_own() -> None:
    now = NOON + timedelta(hours=1)
    (firing,) = alertmanager_api(notification(Told.REPEATED), NOON, now, WEEK)
    (resolved,) = alertmanager_api(notification(Told.RESOLVED), NOON, now, WEEK)
    (news,) = alertmanager_api(notification(Told.NEWS), NOON, now, WEEK)
    assert datetime.fromisoformat(firing["endsAt"]) == now + WEEK
    assert datetime.fromisoformat(resolved["endsAt"]) == NOON + timedelta(hours=3)
    assert datetime.fromisoformat(news["endsAt"]) == NOON + timedelta(hours=1)
    assert firing["labels"] == resolved["labels"], "it is the same alert for Alertmanager"


def test_labels_have_names_that_alertmanager_takes_and_none_is_empty() -> None:
    odd = notification(labels={"alertname": "A", "model": "", "a-b": "1", "2c": "2", "ü": "3"})
    (told,) = alertmanager_api(odd, NOON, NOON, WEEK)
    assert told["labels"] == {"alertname": "A", "a_b": "1", "_2c": "2", "_": "3"}


@pytest.mark.parametrize("each", ALL, ids=lambda each: each.kind)
def test_a_cloud_event_has_what_version_1_demands(each: Notification) -> None:
    made = cloud_event(each, NOON)
    assert made["specversion"] == "1.0"
    assert all(isinstance(made[name], str) and made[name] for name in ("id", "source", "type", "subject"))
    assert all(re.fullmatch(r"[a-z0-9]+", name) for name in made), "names of attributes"
    assert made["id"] == each.message_id
    assert datetime.fromisoformat(made["time"]) == NOON
    assert made["data"].items() >= {name: text for name, text in each.document.items() if name != "title"}.items()


@pytest.mark.parametrize("each", ALL, ids=lambda each: each.kind)
def test_slack_is_within_block_kits_limits_and_mentions_nobody(each: Notification) -> None:
    made = slack(each)
    assert 1 <= len(made["blocks"]) <= 50
    assert 1 <= len(made["text"]) <= 3000
    limits = {"header": 150, "section": 3000}
    for block in made["blocks"]:
        if "text" in block:
            assert 1 <= len(block["text"]["text"]) <= limits[block["type"]]
        assert len(block.get("fields", [])) <= 10
        assert all(len(field["text"]) <= 2000 for field in block.get("fields", []))
        assert len(block.get("elements", [])) <= 10
    marked = [made["text"], *(text["text"] for text in _objects(made) if text.get("type") == "mrkdwn")]
    for text in marked:
        without_links = re.sub(r"<https://[^<>|]*\|[^<>|]*>", "", text)
        assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", without_links)


@pytest.mark.parametrize("each", ALL, ids=lambda each: each.kind)
def test_a_pagerduty_event_is_what_its_api_takes(each: Notification) -> None:
    made = pagerduty(each, "key", NOON)
    assert made["event_action"] == ("resolve" if each.kind is Told.RESOLVED else "trigger")
    assert made["routing_key"] == "key"
    assert 1 <= len(made["dedup_key"]) <= 255
    assert 1 <= len(made["payload"]["summary"]) <= 1024
    assert made["payload"]["source"]
    assert made["payload"]["severity"] in {"critical", "error", "warning", "info"}
    assert all(set(link) == {"href", "text"} for link in made["links"])


def test_all_that_is_told_of_an_episode_is_one_incident_and_the_next_is_another() -> None:
    of_one = {pagerduty(notification(kind), "", NOON)["dedup_key"] for kind in (Told.FIRING, Told.PAGE, Told.RESOLVED)}
    assert of_one == {f"{notification().subject}/2"}
    assert pagerduty(notification(episode=3), "", NOON)["dedup_key"] not in of_one


@pytest.mark.parametrize(
    ("kind", "severity", "told"),
    [
        (Told.FIRING, "critical", "critical"),
        (Told.FIRING, "warning", "warning"),
        (Told.FIRING, "sev2", "error"),
        (Told.PAGE, "info", "critical"),
    ],
)
def test_severities_are_told_in_pagerdutys_words(kind: Told, severity: str, told: str) -> None:
    made = pagerduty(notification(kind, labels={"severity": severity}), "", NOON)
    assert made["payload"]["severity"] == told


@pytest.mark.parametrize("each", ALL, ids=lambda each: each.kind)
def test_a_teams_card_fits_and_shows_our_texts_as_they_are(each: Notification) -> None:
    made = teams(each)
    assert made["type"] == "message"
    (attachment,) = made["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert (card["type"], {part["type"] for part in card["body"]}) == ("AdaptiveCard", {"RichTextBlock"})
    assert len(json.dumps(made).encode()) <= 28 * 1024
    assert all(action["url"].startswith("https://") for action in card["actions"])


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert all(name in {"href", "align"} for name, _ in attrs)
        assert all((value or "").startswith("https://") for name, value in attrs if name == "href")


@pytest.mark.parametrize("each", ALL, ids=lambda each: each.kind)
def test_a_mail_has_two_parts_and_only_our_headers_and_tags(each: Notification) -> None:
    raw = mail(each, "driftline@example.org", ["ada@example.org", "bob@example.org"], NOON).as_bytes(policy=policy.SMTP)
    read = message_from_bytes(raw, policy=policy.default)
    assert set(map(str.lower, read)) <= {
        *("from", "to", "subject", "date", "message-id", "references", "auto-submitted", "importance", "mime-version"),
        "content-type",
    }
    assert str(read["To"]) == "ada@example.org, bob@example.org"
    assert len(str(read["Subject"])) <= 200
    text, html = read.get_body(("plain",)), read.get_body(("html",))
    assert text is not None
    assert html is not None
    assert content_of(each).title in text.get_content()
    found = _Tags()
    found.feed(html.get_content())
    assert found.tags <= {"html", "body", "h2", "p", "br", "ul", "li", "table", "tr", "th", "td", "a"}


def test_mails_about_one_subject_are_a_thread_and_the_same_mail_twice_is_one() -> None:
    first, again, last = (
        mail(notification(kind), "a@b", ["c@d"], NOON) for kind in (Told.FIRING, Told.FIRING, Told.RESOLVED)
    )
    assert first["Message-ID"] == again["Message-ID"] != last["Message-ID"]
    assert first["References"] == last["References"]


def test_people_are_shown_ten_findings_and_how_many_there_are_more() -> None:
    assert content_of(nasty()).findings[-1] == "and 90 more"
    assert len(content_of(nasty()).findings) == 11


def test_only_web_addresses_become_links() -> None:
    assert content_of(nasty()).links == {}
    assert set(content_of(notification()).links) == {"Alert", "Runbook"}


@given(st.text(max_size=60), st.integers(1, 40))
def test_a_fitted_text_fits_and_is_the_whole_text_where_there_is_room(text: str, length: int) -> None:
    escaped = "".join({"&": "&amp;"}.get(character, character) for character in text)
    made = fitted(text, length, lambda character: {"&": "&amp;"}.get(character, character))
    assert len(made) <= length
    assert made == escaped if len(escaped) <= length else made.endswith("…")
    assert not re.search(r"&(?!amp;)", made)


@given(st.text())
def test_one_line_is_one_line(text: str) -> None:
    made = one_line(text)
    assert len(made.splitlines()) <= 1
    assert made.isprintable() or not made.isascii()


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _objects(each)


def test_the_examples_of_the_documentation_are_what_is_sent() -> None:
    page = (GOLDEN.parents[2] / "docs/notifications.md").read_text(encoding="utf-8")
    shown = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```", page, re.MULTILINE | re.DOTALL)]
    assert shown == [
        alertmanager_webhook(notification(receiver="ops"), NOON),
        slack(notification(Told.APPROVAL, "team")),
    ]


def test_news_of_a_retrain_is_no_repetition_of_the_alert_behind_it() -> None:
    (news,) = alertmanager_webhook(notification(Told.NEWS), NOON)["alerts"]
    assert news["fingerprint"] != notification().document["fingerprint"]
    assert news["labels"] == {
        "alertname": "DriftlineNews",
        "model": "flights",
        "severity": "info",
        "subject": "retrain-7",
    }
    assert dict(content_of(notification(Told.NEWS)).facts) == {
        "model": "flights",
        "retrain": "retrain-7",
        "state": "proposed",
    }
