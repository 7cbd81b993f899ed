"""The HTTP client against servers on the loopback that do what servers should not."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest

from monitor.clock import SystemClock
from monitor.errors import TransientError
from monitor.outside.http import HttpClient, Refused, TooLong, place
from tests.conftest import free_port
from tests.loopback import HttpServer, Reply, Request, http_server, socket_server

SECRET = "s3cr3t"  # noqa: S105 (of these tests)


@pytest.fixture
def server() -> Iterator[HttpServer]:
    with http_server() as started:
        yield started


@pytest.fixture(scope="module")
def client() -> HttpClient:
    return HttpClient(SystemClock(), max_body_bytes=1000)


def get(client: HttpClient, url: str, seconds: float = 5.0) -> int:
    return client.send("GET", url, timeout_seconds=seconds).status


def test_a_request_arrives_as_it_was_sent_and_so_does_the_answer(client: HttpClient, server: HttpServer) -> None:
    server.answer = lambda _: Reply(503, {"Retry-After": "7"}, b'{"a": 1}')
    answer = client.send("POST", f"{server.url}/a/b?c=d", headers={"X-One": "1"}, json={"b": "ü"}, timeout_seconds=5.0)
    assert (answer.status, answer.headers["retry-after"], answer.json(), answer.method) == (503, "7", {"a": 1}, "POST")
    request = server.requests[0]
    assert (request.method, request.path, request.headers["x-one"]) == ("POST", "/a/b?c=d", "1")
    assert (request.headers["content-type"], request.body) == ("application/json", b'{"b": "\\u00fc"}')
    assert request.headers["accept-encoding"] == "identity"


def test_bytes_are_sent_as_they_are(client: HttpClient, server: HttpServer) -> None:
    content = bytes(range(256)) * 400
    client.send("PUT", server.url, headers={"Content-Type": "x/y"}, content=content, timeout_seconds=5.0)
    assert (server.requests[0].headers["content-type"], server.requests[0].body) == ("x/y", content)


@pytest.mark.parametrize("body", [b"<html>", b"", b"[" * 900, b"\xff"], ids=["HTML", "nothing", "deep", "no UTF-8"])
def test_a_body_that_is_not_json_is_refused(client: HttpClient, server: HttpServer, body: bytes) -> None:
    server.answer = lambda _: Reply(200, {}, body)
    answer = client.send("GET", server.url, timeout_seconds=5.0)
    with pytest.raises(Refused, match="not JSON"):
        answer.json()


@pytest.mark.parametrize(
    ("status", "method", "body"),
    [(301, "GET", b""), (302, "GET", b""), (303, "GET", b""), (307, "POST", b"x"), (308, "POST", b"x")],
)
def test_a_redirect_on_the_same_host_keeps_method_and_body_only_where_http_says_so(
    client: HttpClient, server: HttpServer, status: int, method: str, body: bytes
) -> None:
    def answer(request: Request) -> Reply:
        return Reply(status, {"Location": "/there"}) if request.path == "/here" else Reply(200)

    server.answer = answer
    got = client.send("POST", f"{server.url}/here", content=b"x", timeout_seconds=5.0)
    assert (got.status, got.method) == (200, method)
    last = server.requests[-1]
    assert (last.path, last.method, last.body) == ("/there", method, body)


def test_three_redirects_are_followed_and_a_fourth_is_not(client: HttpClient, server: HttpServer) -> None:
    def answer(request: Request) -> Reply:
        left = int(request.path[1:])
        return Reply(307, {"Location": f"/{left - 1}"}) if left else Reply(204)

    server.answer = answer
    assert get(client, f"{server.url}/3") == 204
    with pytest.raises(Refused, match="more than 3 times"):
        get(client, f"{server.url}/4")


@pytest.mark.parametrize(
    "location",
    [
        "http://other.example/",
        "//other.example/",
        "https://127.0.0.1/",
        "http://127.0.0.1:1/",
        "http://localhost:{port}/",
        "http://127.0.0.1:{port}@other.example/",
        "file:///etc/passwd",
        "http://[/",
    ],
)
def test_a_redirect_to_another_host_is_refused_before_it_is_asked(
    client: HttpClient, server: HttpServer, location: str
) -> None:
    location = location.format(port=server.url.rpartition(":")[2])
    server.answer = lambda _: Reply(307, {"Location": location})
    with pytest.raises(Refused):
        get(client, f"{server.url}/?token={SECRET}")
    assert len(server.requests) == 1


def test_a_redirect_to_nowhere_is_an_error_of_the_server(client: HttpClient, server: HttpServer) -> None:
    server.answer = lambda _: Reply(307, {"Location": "http://[::1"})
    with pytest.raises(TransientError, match="not an answer of HTTP"):
        get(client, server.url)


@pytest.mark.parametrize("status", [300, 304, 305])
@pytest.mark.parametrize("location", ["http://[::1", "http://a:b/"])
def test_a_location_that_nobody_follows_and_is_malformed_is_refused(
    client: HttpClient, server: HttpServer, status: int, location: str
) -> None:
    server.answer = lambda _: Reply(status, {"Location": location})
    with pytest.raises(Refused, match="malformed"):
        get(client, server.url)


def test_a_body_may_be_as_long_as_the_limit_and_no_longer(client: HttpClient, server: HttpServer) -> None:
    server.answer = lambda _: Reply(200, {}, b"x" * 1000)
    assert client.send("GET", server.url, timeout_seconds=5.0).body == b"x" * 1000
    server.answer = lambda _: Reply(201, {}, b"x" * 1001)
    with pytest.raises(TooLong, match="more than 1000 bytes") as caught:
        get(client, server.url)
    assert caught.value.answer.status == 201


def test_a_body_without_end_is_not_read_to_its_end(client: HttpClient) -> None:
    def serve(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not over.is_set():
            connection.sendall(b"x" * 500)

    with socket_server(serve) as port, pytest.raises(TooLong):
        get(client, f"http://127.0.0.1:{port}/")


def _a_byte_at_a_time(head: bytes, dripped: bytes) -> Callable[[socket.socket, threading.Event], None]:
    def serve(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(head)
        while not over.wait(0.05):
            connection.sendall(dripped)

    return serve


def _never(connection: socket.socket, over: threading.Event) -> None:
    over.wait(10)


@pytest.mark.parametrize(
    "serve",
    [
        _a_byte_at_a_time(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"),
        _a_byte_at_a_time(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", b"x"),
        _a_byte_at_a_time(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        _never,
    ],
    ids=["headers that drip", "a body that drips", "chunks that drip", "no answer"],
)
def test_the_time_is_for_the_whole_answer(
    client: HttpClient, serve: Callable[[socket.socket, threading.Event], None]
) -> None:
    clock = SystemClock()
    before = clock.monotonic()
    with socket_server(serve) as port:
        with pytest.raises(TransientError, match="in time"):
            get(client, f"http://127.0.0.1:{port}/", seconds=0.3)
        assert clock.monotonic() - before < 2.0


def test_redirects_share_the_time(client: HttpClient) -> None:
    def serve(connection: socket.socket, over: threading.Event) -> None:
        connection.recv(1000)
        over.wait(0.2)
        connection.sendall(b"HTTP/1.1 307 Go\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")

    with socket_server(serve) as port, pytest.raises(TransientError, match="in time"):
        get(client, f"http://127.0.0.1:{port}/", seconds=0.3)


def test_a_server_that_does_not_take_the_body_is_given_up_in_time(client: HttpClient) -> None:
    with socket_server(_never) as port, pytest.raises(TransientError, match="in time"):
        client.send("POST", f"http://127.0.0.1:{port}/", content=b"x" * 50_000_000, timeout_seconds=0.3)


def _reset(connection: socket.socket, over: threading.Event) -> None:
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _hang_up(connection: socket.socket, over: threading.Event) -> None:
    connection.recv(1000)


def _nonsense(connection: socket.socket, over: threading.Event) -> None:
    connection.recv(1000)
    connection.sendall(b"+OK POP3 ready\r\n\r\n")


def _half(connection: socket.socket, over: threading.Event) -> None:
    connection.recv(1000)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nhalf")


def _endless_header(connection: socket.socket, over: threading.Event) -> None:
    connection.recv(1000)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while not over.is_set():
        connection.sendall(b"X-Long: " + b"x" * 1000 + b"\r\n")


@pytest.mark.parametrize("serve", [_reset, _hang_up, _nonsense, _half, _endless_header])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_broken_connections_are_transient_and_their_texts_keep_secrets(
    client: HttpClient, serve: Callable[[socket.socket, threading.Event], None], scheme: str
) -> None:
    with socket_server(serve) as port:
        with pytest.raises(TransientError) as caught:
            get(client, f"{scheme}://user:{SECRET}@127.0.0.1:{port}/{SECRET}?token={SECRET}#{SECRET}")
        assert str(caught.value).startswith(f"{scheme}://127.0.0.1:{port}")
        assert SECRET not in repr(caught.value)
        assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("host", "said"), [("127.0.0.1", "Connection refused"), ("nowhere.invalid", "")], ids=["refused", "no such host"]
)
def test_no_connection_is_transient(client: HttpClient, host: str, said: str) -> None:
    port = free_port()
    with pytest.raises(TransientError, match=rf"^http://{host}:{port}: .*{said}"):
        get(client, f"http://{host}:{port}/{SECRET}")


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://a/",
        "http://",
        "http:///x",
        "a",
        "",
        "http://[::1",
        "http://a:b/",
        "http://a\n/",
        "javascript:1",
    ],
)
def test_only_web_addresses_are_asked(client: HttpClient, url: str) -> None:
    with pytest.raises(Refused, match="not an http or https address"):
        get(client, url)


@pytest.mark.parametrize("value", [f"{SECRET}\r\nX-Injected: 1", f"{SECRET}ü\u2603", f"{SECRET}\0"])
def test_a_header_that_cannot_be_sent_is_refused_without_its_value(
    client: HttpClient, server: HttpServer, value: str
) -> None:
    with pytest.raises(Refused) as caught:
        client.send("GET", server.url, headers={"X-Token": value}, timeout_seconds=5.0)
    assert SECRET not in str(caught.value)
    assert server.requests == []


def test_the_environment_names_no_proxy(
    client: HttpClient, server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    assert get(client, server.url) == 200


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("HTTPS://User:pass@Host.Example/path?q#f", "https://host.example:443"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
    ],
)
def test_a_place_is_scheme_host_and_port(url: str, told: str) -> None:
    assert place(url) == told
