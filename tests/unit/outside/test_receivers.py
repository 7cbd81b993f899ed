"""What sends to receivers, against servers on the loopback."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError

from monitor.alert.notification import Notification, Told
from monitor.clock import SystemClock
from monitor.config.receivers import ReceiverSettings
from monitor.errors import TransientError
from monitor.outside.http import HttpClient, Refused
from monitor.outside.receivers.posting import retry_after
from monitor.outside.receivers.sender import Busy, Sender
from monitor.outside.receivers.sending import sender_of
from tests.loopback import HttpServer, Reply, http_server, socket_server
from tests.notifications import NOON, nasty, notification
from tests.unit.outside.mail_server import MailServer

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 (of these tests)
TOKEN = "s3cr3t"  # noqa: S105 (of these tests)
HTTP = HttpClient(SystemClock())
POSTED = ("webhook", "cloudevents", "slack", "teams", "pagerduty", "alertmanager")


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with http_server() as started:
        yield started


def sender(type_: str, url: str, **settings: Any) -> Sender:
    if type_ == "pagerduty":
        settings.setdefault("routing_key", "key")
    made = ReceiverSettings.model_validate({"type": type_, "url": url, "timeout": "5s", **settings})
    return sender_of("team", made, HTTP)


def send(to: Sender, message: Notification | None = None) -> None:
    to.send(message or notification(), NOON, SystemClock().now())


@pytest.mark.parametrize("type_", POSTED)
@pytest.mark.parametrize("kind", Told)
def test_each_kind_is_posted_to_each_type_with_an_id_that_tells_repetitions(
    server: HttpServer, type_: str, kind: Told
) -> None:
    message = notification(kind)
    for _ in range(2):
        send(sender(type_, f"{server.url}/in", headers={"Authorization": f"Bearer {TOKEN}"}), message)
    first, again = server.requests
    assert first.method == "POST"
    assert first.path == ("/in/api/v2/alerts" if type_ == "alertmanager" else "/in")
    assert first.headers["webhook-id"] == again.headers["idempotency-key"] == message.message_id
    assert first.headers["authorization"] == f"Bearer {TOKEN}"
    assert "webhook-signature" not in first.headers
    assert "json" in first.headers["content-type"]


@pytest.mark.parametrize("type_", ["webhook", "cloudevents"])
@pytest.mark.parametrize("message", [notification(), nasty()], ids=["a plain message", "one with odd characters"])
def test_a_signed_message_is_verified_by_standard_webhooks(
    server: HttpServer, type_: str, message: Notification
) -> None:
    send(sender(type_, server.url, signing_secret=SECRET), message)
    (request,) = server.requests
    headers = dict(request.headers)
    assert Webhook(SECRET).verify(request.body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(request.body + b" ", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(request.body, headers | {"webhook-id": "msg_other"})
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "A" * 32).verify(request.body, headers)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_success_is_a_message_taken(server: HttpServer, status: int) -> None:
    server.answer = lambda _: Reply(status)
    send(sender("webhook", server.url))
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_trouble_of_the_receiver_passes(server: HttpServer, status: int) -> None:
    server.answer = lambda _: Reply(status, {"Retry-After": "7"})
    with pytest.raises(Busy, match=rf"^{server.url} answered {status}") as caught:
        send(sender("webhook", f"{server.url}/{TOKEN}?sig={TOKEN}"))
    assert caught.value.after == timedelta(seconds=7)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("status", [300, 304, 400, 401, 403, 404, 410, 413, 422])
def test_what_the_receiver_will_never_take_is_refused(server: HttpServer, status: int) -> None:
    server.answer = lambda _: Reply(status, {}, f"no: {TOKEN}".encode() if status != 304 else b"")
    with pytest.raises(Refused, match=rf"^{server.url} answered {status}") as caught:
        send(sender("webhook", f"{server.url}/{TOKEN}"))
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_redirect_that_would_lose_the_message_is_no_success(server: HttpServer, status: int) -> None:
    server.answer = lambda request: Reply(status, {"Location": "/login"}) if request.path == "/" else Reply(200)
    with pytest.raises(Refused, match="the message would be lost"):
        send(sender("webhook", server.url))


def test_a_redirect_to_another_host_is_refused_and_the_message_stays_here(server: HttpServer) -> None:
    with http_server() as other:
        server.answer = lambda _: Reply(307, {"Location": other.url})
        with pytest.raises(Refused, match="another host"):
            send(sender("webhook", server.url))
        assert other.requests == []


def test_an_answer_without_end_counts_by_its_status(server: HttpServer) -> None:
    server.answer = lambda _: Reply(200, {}, b"x" * 2_000_000)
    send(sender("webhook", server.url))
    server.answer = lambda _: Reply(500, {}, b"x" * 2_000_000)
    with pytest.raises(Busy):
        send(sender("webhook", server.url))


def test_a_message_that_cannot_be_told_is_refused_and_not_sent(server: HttpServer) -> None:
    broken = notification(labels=None, starts_at=3, links=[1])
    with pytest.raises(Refused, match="cannot be put into the receiver's format"):
        send(sender("webhook", server.url), broken)
    assert server.requests == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        ("Sun, 01 Mar 2026 12:01:00 GMT", 60),
        ("Sun, 01 Mar 2026 11:59:00 GMT", None),
        ("soon", None),
        ("-5", None),
        ("٣", None),
        ("9" * 30, None),
        ("Sun, 01 Mar 2026 12:01:00 +99999999999999", None),
        ("Sun, 01 Mar 99999999999999999999 12:01:00 GMT", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, seconds: int | None) -> None:
    wait = retry_after(text, NOON)
    assert wait == (None if seconds is None else timedelta(seconds=seconds))


def mailer(port: int, **settings: Any) -> Sender:
    made = {"type": "email", "host": "localhost", "port": port, "tls": "none", "timeout": "5s", **settings}
    made |= {"from": "driftline@example.org", "to": ["ada@example.org", "bob@example.org"]}
    return sender_of("mail", ReceiverSettings.model_validate(made), HTTP)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificate")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=localhost", "-days", "2"]
    command += ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    return context


@pytest.mark.parametrize("kind", Told)
def test_a_mail_arrives_whole(kind: Told) -> None:
    server = MailServer()
    with server.listening() as port:
        send(mailer(port), notification(kind))
    (raw,) = server.mails
    read = message_from_bytes(raw, policy=policy.default)
    assert read["From"] == "driftline@example.org"
    body = read.get_body(("plain",))
    assert body is not None
    assert read["Subject"].strip() == body.get_content().splitlines()[0]
    assert server.commands.count("RCPT") == 2


@pytest.mark.parametrize("mode", ["starttls", "tls"])
def test_a_mail_and_its_password_go_through_an_encrypted_connection(
    certificate: Path, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    server = MailServer(tls=tls, at_once=mode == "tls")
    with server.listening() as port:
        send(mailer(port, tls=mode, username="u", password=TOKEN))
    assert len(server.mails) == 1
    assert server.commands.index("AUTH") > (server.commands.index("STARTTLS") if mode == "starttls" else 0)


@pytest.mark.parametrize("mode", ["starttls", "tls"])
def test_a_server_whose_certificate_is_not_trusted_gets_nothing(tls: ssl.SSLContext, mode: str) -> None:
    server = MailServer(tls=tls, at_once=mode == "tls")
    with server.listening() as port, pytest.raises(TransientError):
        send(mailer(port, tls=mode, username="u", password=TOKEN))
    assert "AUTH" not in server.commands
    assert server.mails == []


def test_a_server_that_does_not_encrypt_gets_nothing() -> None:
    server = MailServer()
    with server.listening() as port, pytest.raises(Refused, match="STARTTLS"):
        send(mailer(port, tls="starttls", username="u", password=TOKEN))
    assert "AUTH" not in server.commands


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ({"RCPT": "450 try later"}, TransientError),
        ({"RCPT": "550 nobody here"}, Refused),
        ({"MAIL": "452 disk is full"}, TransientError),
        ({"MAIL": f"553 not you {TOKEN}"}, Refused),
        ({".": "451 later"}, TransientError),
        ({".": "554 spam"}, Refused),
        ({"DATA": "421 going down"}, TransientError),
        ({"EHLO": "421 going down", "HELO": "421 going down"}, TransientError),
    ],
)
def test_codes_of_mail_servers_say_whether_trouble_passes(answers: dict[str, str], error: type[Exception]) -> None:
    with MailServer(answers=answers).listening() as port, pytest.raises(error) as caught:
        send(mailer(port))
    assert str(caught.value).startswith(f"smtp://localhost:{port}")
    assert TOKEN not in str(caught.value)


def test_a_password_that_is_wrong_is_not_told(
    certificate: Path, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    server = MailServer(tls=tls, answers={"AUTH": f"535 not {TOKEN}"})
    with server.listening() as port, pytest.raises(Refused, match="answered 535") as caught:
        send(mailer(port, tls="starttls", username="u", password=TOKEN))
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("said", ["421 too slow", "500 what?", "nonsense"])
def test_a_mail_that_was_taken_is_sent_whatever_is_said_at_the_end(said: str) -> None:
    server = MailServer(answers={"QUIT": said})
    with server.listening() as port:
        send(mailer(port))
    assert len(server.mails) == 1


def test_a_mail_that_cannot_be_told_is_refused_and_no_server_is_asked() -> None:
    server = MailServer()
    with server.listening() as port, pytest.raises(Refused, match="cannot be put into the receiver's format"):
        send(mailer(port), notification(labels=None, starts_at=3, links=[1]))
    assert server.commands == []


def test_a_name_of_a_host_that_cannot_be_asked_for_is_refused() -> None:
    named = ReceiverSettings.model_validate(
        {"type": "email", "host": "localhost", "from": "a@example.org", "to": ["b@example.org"]}
    ).model_copy(update={"host": "x" * 70})
    with pytest.raises(Refused, match="characters that cannot be sent"):
        send(sender_of("mail", named, HTTP))


def test_a_password_that_smtp_cannot_say_is_refused_and_not_told(
    certificate: Path, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    named = {"type": "email", "host": "localhost", "from": "a@example.org", "to": ["b@example.org"], "username": "u"}
    with MailServer(tls=tls).listening() as port:
        made = ReceiverSettings.model_validate({**named, "password": TOKEN, "port": port})
        odd = made.model_copy(update={"password": SecretStr(f"{TOKEN}é")})
        with pytest.raises(Refused, match="characters that cannot be sent") as caught:
            send(sender_of("mail", odd, HTTP))
    assert TOKEN not in str(caught.value)


def test_one_recipient_that_is_turned_away_does_not_send_the_mail_to_the_other_again() -> None:
    server = MailServer()
    turned_away = iter(["550 nobody here", "250 ok"])

    class Answers(dict[str, str]):
        def get(self, key: str, default: Any = None) -> Any:
            return next(turned_away) if key == "RCPT" else super().get(key, default)

    server.answers = Answers()
    with server.listening() as port:
        send(mailer(port))
    assert len(server.mails) == 1


def _drip(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(b"220 ")
    while not over.wait(0.05):
        connection.sendall(b"x")


def _drip_after_starttls(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(b"220 mail\r\n")
    connection.recv(1000)
    connection.sendall(b"250-x\r\n250 STARTTLS\r\n")
    connection.recv(1000)
    connection.sendall(b"220 go\r\n\x16\x03\x03\x10\x00")
    while not over.wait(0.05):
        connection.sendall(b"x")


def _hang_up(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(b"220 mail\r\n")
    connection.recv(1000)


def _nonsense(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.parametrize("serve", [_drip, _drip_after_starttls, _hang_up, _nonsense])
@pytest.mark.parametrize("mode", ["none", "starttls", "tls"])
def test_a_mail_server_that_misbehaves_is_left_in_time(
    serve: Callable[[socket.socket, threading.Event], None], mode: str
) -> None:
    clock = SystemClock()
    before = clock.monotonic()
    with socket_server(serve) as port:
        with pytest.raises(TransientError, match=rf"^smtp://localhost:{port}"):
            send(mailer(port, tls=mode, timeout="1s"))
        assert clock.monotonic() - before < 3


def test_no_mail_server_is_transient() -> None:
    with socket_server(_hang_up) as port:
        pass
    with pytest.raises(TransientError, match="Connection refused"):
        send(mailer(port))
