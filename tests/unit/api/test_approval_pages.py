"""Approval links: what they show, and that they act on a POST of their own page, once."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest

from monitor.clock import rfc3339
from monitor.jobs.retrain import events as retrain_events
from monitor.store.approval_ledger import SqlApprovals
from monitor.store.retrain_ledger import SqlRetrains
from tests.apis import Api

REQUEST = {
    "why": {
        "reason": "<b>AUC</b> fell below 0.7",
        "alert": {"name": "QualityFell", "severity": "critical"},
        "findings": [
            {
                "kind": "quality",
                "feature": None,
                "reference": "threshold",
                "measure": "auc",
                "value": 0.683_21,
                "threshold": 0.7,
            },
            *({"kind": "drift", "feature": f"<i>feature {number}</i>", "value": 1} for number in range(15)),
        ],
        "findings_total": 16,
    },
    "data": {
        "start": "2013-06-01T00:00:00Z",
        "end": "2013-07-01T00:00:00Z",
        "total": {"traffic": {"rows": 26_995}},
        "labelled": {"predictions": 26_000, "labelled": 24_000},
    },
}


class Page(HTMLParser):
    """The words of a page, its tags, and the buttons of its form."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.buttons: list[str | None] = []
        self.words = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "button":
            self.buttons.append(dict(attrs)["value"])

    def handle_data(self, data: str) -> None:
        self.words += data


def link(api: Api, **request: Any) -> tuple[str, str]:
    """Return the id of a retrain that waits, and the address of a link to it."""
    now = api.clock.now()
    retrain_id = api.proposed(**(request or REQUEST)).retrain_id
    return retrain_id, f"/approve/{api.ledger.approvals.issue(retrain_id, now, now + timedelta(hours=24))}"


def press(api: Api, path: str, action: str = "approve", name: str = "", **headers: str) -> Any:
    sent = {"Sec-Fetch-Site": "same-origin"} | {key.replace("_", "-"): value for key, value in headers.items()}
    return api.client.post(path, data={"action": action, "name": name}, headers=sent)


def state(api: Api, retrain_id: str) -> str:
    found = api.ledger.retrains.get(retrain_id)
    assert found is not None
    return str(found.state)


def entries(api: Api) -> int:
    return len(api.ledger.pages.audit(0, 1_000))


def test_a_page_says_what_would_be_done_and_why(api: Api) -> None:
    retrain_id, path = link(api)
    page = Page(api.client.get(path).text)
    for words in (
        "Retrain flights?",
        "<b>AUC</b> fell below 0.7",
        "QualityFell critical",
        "2013-06-01T00:00:00Z to 2013-07-01T00:00:00Z, 26,995 rows, 24,000 of 26,000 evaluated predictions labelled",
        "0.6832",
        "<i>feature 8</i>",
        "and 6 more",
        retrain_id,
    ):
        assert words in page.words
    assert page.buttons == ["approve", "reject"]
    assert not {"script", "img", "iframe", "link", "b", "i", "a"} & set(page.tags), (
        "nothing is loaded, and text is text"
    )


def test_a_page_of_a_request_that_says_little(api: Api) -> None:
    _, path = link(api, odd=1)
    assert "quality fell" in Page(api.client.get(path).text).words


def test_a_page_may_load_nothing_and_tells_nobody_its_address(api: Api) -> None:
    _, path = link(api)
    answer = api.client.get(path)
    headers = answer.headers
    assert (headers["Cache-Control"], headers["Referrer-Policy"]) == ("no-store", "no-referrer")
    rules = dict(rule.strip().partition(" ")[::2] for rule in headers["Content-Security-Policy"].split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["frame-ancestors"] == "'none'"
    assert rules["form-action"] == "'self'"
    assert re.fullmatch(r"'sha256-[A-Za-z0-9+/=]{44}'", rules["style-src"])
    assert path.removeprefix("/approve/") not in answer.text


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
def test_whoever_only_looks_changes_nothing(api: Api, method: str) -> None:
    retrain_id, path = link(api)
    before = entries(api)
    for _ in range(3):
        api.client.request(method, path, params={"action": "approve"})
    assert (state(api, retrain_id), entries(api)) == ("proposed", before)
    assert press(api, path).status_code == 200, "and the link still works"


@pytest.mark.parametrize(("action", "becomes"), [("approve", "approved"), ("reject", "cancelled")])
def test_a_button_acts_once(api: Api, action: str, becomes: str) -> None:
    retrain_id, path = link(api)
    assert press(api, path, action, "Ada Lovelace").status_code == 200
    assert state(api, retrain_id) == becomes
    [event] = api.ledger.retrains.events(retrain_id)[1:]
    assert event.actor == "Ada Lovelace (approval link)"
    before = entries(api)
    for again in ("approve", "reject"):
        answer = press(api, path, again)
        assert answer.status_code == 410
        assert "does nothing any more" in Page(answer.text).words
    answer = api.client.get(path)
    assert (answer.status_code, Page(answer.text).buttons) == (410, [])
    assert (state(api, retrain_id), entries(api)) == (becomes, before)


def test_the_audit_log_tells_of_a_link_from_its_issue_on(api: Api) -> None:
    retrain_id, path = link(api)
    press(api, path)
    told = [(entry.action, entry.actor) for entry in api.ledger.pages.audit(4, 100)]
    assert told == [
        ("approval_link_issued", "driftline"),
        ("approval_link_used", "approval link"),
        ("retrain_changed", "approval link"),
    ]
    assert path.removeprefix("/approve/") not in "".join(entry.body for entry in api.ledger.pages.audit(0, 100))
    assert state(api, retrain_id) == "approved"


def both(first: Callable[[], Any], second: Callable[[], Any]) -> list[Any]:
    """Call both at once and return what they return."""
    start, found = threading.Barrier(2), [None, None]

    def work(place: int, call: Callable[[], Any]) -> None:
        start.wait(10)
        found[place] = call()

    threads = [threading.Thread(target=work, args=pair) for pair in enumerate((first, second))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return found


@pytest.mark.parametrize("actions", [("approve", "approve"), ("approve", "reject")], ids=["the same", "two minds"])
def test_of_two_that_press_at_once_one_acts(
    api: Api, monkeypatch: pytest.MonkeyPatch, actions: tuple[str, str]
) -> None:
    """Both have looked before one of them uses the link: the worst that can happen."""
    retrain_id, path = link(api)
    looked, use = threading.Barrier(2), SqlApprovals.use

    def use_when_both_have_looked(self: SqlApprovals, *given: Any) -> Any:
        looked.wait(10)
        return use(self, *given)

    monkeypatch.setattr(SqlApprovals, "use", use_when_both_have_looked)
    answers = both(lambda: press(api, path, actions[0]), lambda: press(api, path, actions[1]))
    statuses = [answer.status_code for answer in answers]
    assert sorted(statuses) == [200, 410]
    won = actions[statuses.index(200)]
    assert state(api, retrain_id) == {"approve": "approved", "reject": "cancelled"}[won]
    assert len(api.ledger.retrains.events(retrain_id)) == 2


@pytest.mark.parametrize(("first", "second"), [("approve", "reject"), ("reject", "approve")])
def test_of_two_links_that_are_used_at_once_the_quicker_one_counts(
    api: Api, monkeypatch: pytest.MonkeyPatch, first: str, second: str
) -> None:
    """The second has looked, and uses its own link, before the first has acted."""
    retrain_id, path = link(api)
    now = api.clock.now()
    token = api.ledger.approvals.issue(retrain_id, now, now + timedelta(days=1))
    use = SqlApprovals.use

    def use_after_the_other(self: SqlApprovals, *given: Any) -> Any:
        monkeypatch.setattr(SqlApprovals, "use", use)
        assert press(api, path, first).status_code == 200
        return use(self, *given)

    monkeypatch.setattr(SqlApprovals, "use", use_after_the_other)
    told = press(api, f"/approve/{token}", second)
    becomes = {"approve": "approved", "reject": "cancelled"}[first]
    assert (told.status_code, f"Somebody else was quicker: the retrain is {becomes}." in told.text) == (410, True)
    assert state(api, retrain_id) == becomes


def test_a_link_expires(api: Api) -> None:
    retrain_id, path = link(api)
    api.clock.advance(24 * 3_600)
    for answer in (api.client.get(path), press(api, path)):
        assert answer.status_code == 410
        assert f"It expired at {rfc3339(api.clock.now())}" in answer.text
    assert state(api, retrain_id) == "proposed"


def test_a_link_to_what_was_decided_elsewhere_says_so(api: Api) -> None:
    retrain_id, path = link(api)
    retrain_events.cancel(api.ledger, retrain_id, "Grace", api.clock.now())
    for answer in (api.client.get(path), press(api, path)):
        assert answer.status_code == 410
        assert "it is cancelled" in answer.text


def test_what_a_crash_left_undone_is_done_by_pressing_again(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    retrain_id, path = link(api)
    with monkeypatch.context() as broken:
        broken.setattr(SqlRetrains, "change", _dies)
        assert press(api, path).status_code == 500
    assert press(api, path).status_code == 410, "it may be at it this moment"
    api.clock.advance(61)
    assert Page(api.client.get(path).text).buttons == ["approve"]
    assert press(api, path, "reject").status_code == 410
    assert press(api, path).status_code == 200
    assert state(api, retrain_id) == "approved"


def _dies(*_: object) -> None:
    raise RuntimeError("killed here")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"Sec-Fetch-Site": "same-origin"}, 200, id="the page itself"),
        pytest.param({"Sec-Fetch-Site": "cross-site"}, 403, id="a page of another site"),
        pytest.param({"Sec-Fetch-Site": "same-site"}, 403, id="a page of a neighbour"),
        pytest.param({"Sec-Fetch-Site": "none"}, 403, id="no page, says a browser, which posts nothing by itself"),
        pytest.param({"Sec-Fetch-Site": "cross-site", "Origin": "http://testserver"}, 403, id="two minds"),
        pytest.param({"Origin": "http://testserver"}, 200, id="an older browser"),
        pytest.param({"Origin": "null"}, 200, id="a browser without TLS, that was told to keep the address to itself"),
        pytest.param({"Origin": "http://evil.example"}, 403, id="an older browser, from elsewhere"),
        pytest.param({"Origin": "http://testserver.evil.example"}, 403, id="a look-alike"),
        pytest.param({}, 200, id="no browser: who has the link may use it"),
    ],
)
def test_another_site_cannot_press_the_button(api: Api, headers: dict[str, str], status: int) -> None:
    retrain_id, path = link(api)
    assert api.client.post(path, data={"action": "approve"}, headers=headers).status_code == status
    assert state(api, retrain_id) == ("approved" if status == 200 else "proposed")


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"action=approve", "text/plain", 415),
        (b'{"action": "approve"}', "application/json", 415),
        (b"", "application/x-www-form-urlencoded", 400),
        (b"action=delete", "application/x-www-form-urlencoded", 400),
        (b"action=&name=approve", "application/x-www-form-urlencoded", 400),
        (b"&".join([b"action=approve"] * 20), "application/x-www-form-urlencoded", 400),
        (b"action=\xff", "application/x-www-form-urlencoded", 400),
        (b"x" * 2_000_000, "application/x-www-form-urlencoded", 413),
    ],
    ids=["text", "JSON", "nothing", "an odd answer", "no answer", "many", "not ASCII", "large"],
)
def test_what_is_no_answer_leaves_the_link_as_it_was(api: Api, content: bytes, kind: str, status: int) -> None:
    retrain_id, path = link(api)
    answer = api.client.post(path, content=content, headers={"Content-Type": kind, "Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == status
    assert state(api, retrain_id) == "proposed"
    assert press(api, path).status_code == 200


def test_a_name_is_one_line_of_text(api: Api) -> None:
    retrain_id, path = link(api)
    press(api, path, name="  <Ada>\r\nX-Odd: 1\x00" + "x" * 200)
    actor = api.ledger.retrains.events(retrain_id)[-1].actor
    assert actor.startswith("<Ada>X-Odd: 1xxx")
    assert actor.isprintable()
    assert len(actor) < 130


def test_guessing_links_is_met_with_little_patience(api: Api) -> None:
    _, path = link(api)
    for _ in range(10):
        assert api.client.get("/approve/guess").status_code == 404
    assert api.client.get("/approve/guess").status_code == 429
    assert api.client.get(path).status_code == 429
    api.clock.advance(60)
    assert api.client.get(path).status_code == 200
