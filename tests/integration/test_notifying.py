"""From the outbox to receivers over real connections: faulty servers, a killed process, a real Alertmanager, the command line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry
from standardwebhooks import Webhook

from monitor.alert.notification import Notification, Told
from monitor.alert.payloads.alertmanager_webhook import alertmanager_webhook
from monitor.clock import Deadline, ManualClock, SystemClock, rfc3339
from monitor.config.settings import Settings
from monitor.jobs.alert.notifying import Notifier
from monitor.metrics import MonitorMetrics
from monitor.outside.http import HttpClient
from monitor.outside.receivers.sending import senders_of
from monitor.store import outbox
from monitor.store.ledger import Ledger
from monitor.store.outbox import MessageState
from tests.conftest import free_port
from tests.integration.conftest import Driftline
from tests.loopback import HttpServer, Reply, Request, http_server, socket_server
from tests.notifications import notification

ROOT = Path(__file__).resolve().parents[2]
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 (of these tests)
MODELS = {"m": {"traffic": {"files": "x"}}}


@dataclass
class Running:
    """A notifier with real connections."""

    ledger: Ledger
    notifier: Notifier
    stop: threading.Event

    def put(self, *told: Notification) -> None:
        with self.ledger.database.write() as connection:
            outbox.put(connection, self.ledger.team, told, self.notifier.clock.now())

    def until(self, holds: Callable[[], bool], seconds: float = 20.0) -> None:
        """Tick until something holds."""
        deadline = Deadline.after(SystemClock(), seconds)
        while not holds():
            assert not deadline.expired(), [f"{each.state} {each.error}" for each in self.ledger.outbox.find()]
            self.notifier.tick(self.stop)
            self.stop.wait(0.02)

    def states(self) -> list[str]:
        return [str(each.state) for each in self.ledger.outbox.find()]


Start = Callable[..., Running]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return what starts a notifier for these receivers."""
    started: list[Running] = []

    def begin(receivers: Mapping[str, Any], clock: ManualClock | SystemClock | None = None) -> Running:
        settings = Settings.model_validate({"models": MODELS, "receivers": receivers})
        ledger = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", "default")
        senders = senders_of(settings.receivers, HttpClient(SystemClock()))
        metrics = MonitorMetrics.on(CollectorRegistry())
        notifier = Notifier(ledger, settings, clock or SystemClock(), "h", senders, metrics)
        started.append(Running(ledger, notifier, threading.Event()))
        return started[-1]

    yield begin
    for each in started:
        each.stop.set()
        each.notifier.close()
        each.ledger.close()


def test_every_receiver_gets_its_message_while_others_fail_in_every_way(start: Start) -> None:
    def drip(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while not over.wait(0.05):
            connection.sendall(b"x")

    def answer(request: Request) -> Reply:
        if request.path == "/redirect":
            return Reply(307, {"Location": "http://localhost:1/"})
        if request.path == "/flaky" and sum(each.path == "/flaky" for each in server.requests) < 3:
            return Reply(500)
        return Reply(200)

    with http_server(answer) as server, socket_server(drip) as slow:
        hook = {"type": "webhook", "timeout": "1s"}
        running = start(
            {
                "good": {**hook, "url": f"{server.url}/good"},
                "slow loris": {**hook, "url": f"http://127.0.0.1:{slow}/"},
                "down": {**hook, "url": f"http://127.0.0.1:{free_port()}/"},
                "redirecting": {**hook, "url": f"{server.url}/redirect"},
                "flaky": {**hook, "url": f"{server.url}/flaky"},
            }
        )
        running.put(*(notification(receiver=name) for name in running.notifier.senders))
        clock = SystemClock()
        began = clock.monotonic()
        running.until(lambda: any(each.path == "/good" for each in server.requests))
        assert clock.monotonic() - began < 2, "nobody waits for the slow one"
        running.until(lambda: running.ledger.outbox.find(MessageState.SENT, "flaky") != [])
        running.until(lambda: all(each.error for each in running.ledger.outbox.find(MessageState.WAITING)))
    found = {each.notification.receiver: (str(each.state), each.error) for each in running.ledger.outbox.find()}
    assert found["good"] == found["flaky"] == ("sent", "")
    assert found["slow loris"] == ("waiting", f"http://127.0.0.1:{slow} did not answer in time")
    assert found["down"][0] == "waiting"
    assert "Connection refused" in found["down"][1]
    assert found["redirecting"] == ("given_up", f"{server.url} redirects to another host")
    ids = {each.headers["webhook-id"] for each in server.requests if each.path == "/flaky"}
    assert len(ids) == 1, "a message that is sent again has the same id"


def test_a_signature_is_made_anew_for_each_attempt(start: Start) -> None:
    answers = iter([Reply(503), Reply(200)])
    with http_server(lambda _: next(answers)) as server:
        running = start({"team": {"type": "cloudevents", "url": server.url, "signing_secret": SECRET}})
        running.put(notification())
        running.until(lambda: running.states() == ["sent"])
    assert len(server.requests) == 2
    for request in server.requests:
        Webhook(SECRET).verify(request.body, dict(request.headers))
    first, again = (json.loads(request.body) for request in server.requests)
    assert first == again


_SENDING = """
import sys, threading
from prometheus_client import CollectorRegistry
from monitor.clock import SystemClock
from monitor.config.settings import Settings
from monitor.jobs.alert.notifying import Notifier
from monitor.metrics import MonitorMetrics
from monitor.outside.http import HttpClient
from monitor.outside.receivers.sending import senders_of
from monitor.store.ledger import Ledger
clock = SystemClock()
settings = Settings.model_validate({"models": {"m": {"traffic": {"files": "x"}}},
    "receivers": {"team": {"type": "webhook", "url": sys.argv[2], "timeout": "5m"}}})
ledger = Ledger.open(sys.argv[1], "default")
metrics = MonitorMetrics.on(CollectorRegistry())
notifier = Notifier(ledger, settings, clock, "killed", senders_of(settings.receivers, HttpClient(clock)), metrics, 600.0)
notifier.tick(threading.Event())
"""


def test_a_process_killed_between_sending_and_marking_loses_nothing_and_repeats_the_id(
    start: Start, tmp_path: Path
) -> None:
    arrived, killed = threading.Event(), threading.Event()

    def answer(_: Request) -> Reply:
        arrived.set()
        killed.wait(20)
        return Reply(200)

    with http_server(answer) as server:
        clock = ManualClock(SystemClock().now())
        running = start({"team": {"type": "webhook", "url": server.url}}, clock)
        running.put(notification(), notification(Told.RESOLVED))
        command = [sys.executable, "-c", _SENDING, f"sqlite:///{tmp_path}/ledger.db", server.url]
        dying = subprocess.Popen(command, cwd=ROOT)
        assert arrived.wait(30)
        dying.send_signal(signal.SIGKILL)
        assert dying.wait(10) == -signal.SIGKILL
        killed.set()
        assert running.notifier.tick(running.stop) == 0
        clock.advance(timedelta(hours=1).total_seconds())
        running.until(lambda: running.states() == ["sent", "sent"])
    ids = [each.headers["webhook-id"] for each in server.requests]
    firing, resolved = notification().message_id, notification(Told.RESOLVED).message_id
    assert ids == [firing, firing, resolved]


def _alertmanager() -> str:
    path = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if path is None:
        reason = "prometheus-alertmanager is not on PATH (apt-get install prometheus-alertmanager)"
        if os.environ.get("DRIFTLINE_REQUIRE_SERVERS"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@dataclass
class Alertmanager:
    url: str
    hooks: HttpServer

    def alerts(self) -> list[dict[str, Any]]:
        answer = HttpClient(SystemClock()).send("GET", f"{self.url}/api/v2/alerts", timeout_seconds=5.0)
        found: list[dict[str, Any]] = answer.json()
        return found


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[Alertmanager]:
    """A real Alertmanager, whose webhooks come back to a server of ours."""
    binary, address = _alertmanager(), f"127.0.0.1:{free_port()}"
    with http_server() as hooks:
        route = {"receiver": "back", "group_by": ["alertname", "model"], "group_wait": "0s", "group_interval": "1s"}
        config = {"route": route, "receivers": [{"name": "back", "webhook_configs": [{"url": hooks.url}]}]}
        (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        options = [f"--config.file={tmp_path}/alertmanager.yml", f"--storage.path={tmp_path}/alertmanager"]
        options += [f"--web.listen-address={address}", "--cluster.listen-address="]
        with (tmp_path / "alertmanager.log").open("wb") as log:
            process = subprocess.Popen([binary, *options], stdout=log, stderr=log)
        try:
            _wait_for(address, process, tmp_path / "alertmanager.log")
            yield Alertmanager(f"http://{address}", hooks)
        finally:
            process.kill()
            process.wait()


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    host, port = address.split(":")
    deadline, pause = Deadline.after(SystemClock(), 20.0), threading.Event()
    while not deadline.expired():
        assert process.poll() is None, log.read_text(encoding="utf-8")
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                return
        pause.wait(0.05)
    pytest.fail(f"Alertmanager does not listen: {log.read_text(encoding='utf-8')}")


def _now(kind: Told) -> Notification:
    now = SystemClock().now()
    ends = {"ends_at": rfc3339(now)} if kind is Told.RESOLVED else {}
    return notification(kind, receiver="am", starts_at=rfc3339(now - timedelta(minutes=1)), **ends)


def test_a_real_alertmanager_takes_alerts_and_their_end_and_its_webhook_looks_like_ours(
    start: Start, alertmanager: Alertmanager
) -> None:
    running = start({"am": {"type": "alertmanager", "url": alertmanager.url}})
    firing = _now(Told.FIRING)
    running.put(firing)
    running.until(lambda: running.states() == ["sent"])
    (listed,) = alertmanager.alerts()
    assert listed["labels"] == firing.document["labels"]
    assert listed["annotations"]["findings"].startswith("feature_0 where origin = JFK")
    assert listed["generatorURL"] == "https://driftline.example/alerts/1?a=1&b=2"
    assert datetime.fromisoformat(listed["endsAt"]) > SystemClock().now() + timedelta(days=6)

    running.until(lambda: len(alertmanager.hooks.requests) >= 1)
    theirs = json.loads(alertmanager.hooks.requests[0].body)
    ours = json.loads(json.dumps(alertmanager_webhook(firing, SystemClock().now())))
    assert set(ours) == set(theirs) - {"notification_reason"}
    assert set(ours["alerts"][0]) == set(theirs["alerts"][0])
    same = ("version", "status", "truncatedAlerts", "groupKey", "groupLabels", "commonLabels", "commonAnnotations")
    assert {name: ours[name] for name in same} == {name: theirs[name] for name in same}
    assert ours["alerts"][0]["endsAt"] == theirs["alerts"][0]["endsAt"]

    running.put(_now(Told.RESOLVED))
    running.until(lambda: alertmanager.alerts() == [])
    running.until(lambda: json.loads(alertmanager.hooks.requests[-1].body)["status"] == "resolved")


@pytest.mark.parametrize("kind", Told)
def test_a_real_alertmanager_takes_every_kind(start: Start, alertmanager: Alertmanager, kind: Told) -> None:
    running = start({"am": {"type": "alertmanager", "url": f"{alertmanager.url}/"}})
    running.put(notification(kind, receiver="am", labels={"alertname": "A", "odd-name": "ü", "empty": ""}))
    running.until(lambda: running.states() == ["sent"])


def _config(tmp_path: Path, **receivers: Any) -> Path:
    file = tmp_path / "driftline.yaml"
    document = {"store": f"sqlite:///{tmp_path}/ledger.db", "models": MODELS, "receivers": receivers}
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    return file


def test_a_test_message_says_what_the_receiver_answered(tmp_path: Path, driftline: Driftline) -> None:
    statuses = iter([204, 400, 503])
    with http_server(lambda _: Reply(next(statuses))) as server:
        config = _config(tmp_path, team={"type": "slack", "url": f"{server.url}/s3cr3t"})
        done, refused, busy = (driftline("notify", "test", "team", "-c", config) for _ in range(3))
    assert (done.code, refused.code, busy.code) == (0, 2, 5)
    assert done.stdout.startswith("team took the message msg_")
    assert refused.stderr == (
        f"driftline: team did not take the message, and never will: {server.url} answered 400 Bad Request\n"
    )
    assert "an alert would be sent again" in busy.stderr
    assert json.loads(server.requests[0].body)["blocks"][0]["text"]["text"] == "Test: Driftline can reach you"


def test_a_test_message_to_nobody_names_who_there_is(tmp_path: Path, driftline: Driftline) -> None:
    ran = driftline("notify", "test", "ops", "-c", _config(tmp_path, team={"type": "slack", "url": "http://a/"}))
    assert (ran.code, ran.stdout) == (2, "")
    assert "no receiver 'ops'; it has: team" in ran.stderr


def test_messages_are_listed_and_sent_again(start: Start, tmp_path: Path, driftline: Driftline) -> None:
    with http_server(lambda _: Reply(400)) as server:
        receivers = {"team": {"type": "webhook", "url": server.url}}
        config = _config(tmp_path, **receivers)
        assert driftline("notify", "list", "-c", config).stdout == "no messages\n"
        running = start(receivers)
        told = notification()
        running.put(told)
        running.until(lambda: running.states() == ["given_up"])
        listed = driftline("notify", "list", "-c", config, "--state", "given-up", "--format", "jsonl")
        (line,) = map(json.loads, listed.stdout.splitlines())
        assert (line["id"], line["state"], line["document"]) == (told.message_id, "given_up", told.document)
        assert line["error"] == f"{server.url} answered 400 Bad Request"
        assert told.message_id in driftline("notify", "list", "-c", config).stdout
        assert driftline("notify", "list", "-c", config, "--receiver", "other").stdout == "no messages\n"

        approval = notification(Told.APPROVAL)
        running.put(approval)
        listed = driftline("notify", "list", "-c", config, "--format", "jsonl")
        assert json.loads(listed.stdout.splitlines()[-1])["document"]["title"] == approval.document["title"]
        assert "https://driftline.example/approvals" not in listed.stdout, "the link is a key"

        ran = driftline("notify", "resend", told.message_id, "-c", config, "--by", "ada")
        assert (ran.code, ran.stdout) == (0, f"{told.message_id} waits to be sent to team\n")
        server.answer = lambda _: Reply(200)
        running.until(lambda: running.ledger.outbox.find(MessageState.SENT) != [])
        sent = [each.headers["webhook-id"] for each in server.requests]
        running.until(lambda: "waiting" not in running.states())
    assert sent.count(told.message_id) == 2
    unknown = driftline("notify", "resend", "msg_1", "-c", config)
    assert (unknown.code, unknown.stdout) == (2, "")
