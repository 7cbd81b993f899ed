"""The API as it is served: from a thread, on a socket, next to other processes."""

from __future__ import annotations

import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
import uvicorn

from monitor.api.serving import serve_api
from monitor.clock import Deadline, SystemClock
from monitor.store.token_ledger import Scope
from tests.apis import Api, opened
from tests.conftest import ROOT, free_port


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with opened(tmp_path) as api:
        yield api


def ask(port: int, path: str, token: str = "", host: str = "127.0.0.1") -> tuple[int, bytes]:
    connection = HTTPConnection(host, port, timeout=10)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_it_answers_from_the_moment_it_is_served_until_it_is_stopped(api: Api) -> None:
    port = free_port()
    stop = serve_api(f"127.0.0.1:{port}", api.app)
    assert ask(port, "/healthz")[0] == 200
    assert ask(port, "/metrics")[0] == 200, "this machine needs no token"
    assert ask(port, "/v1/models")[0] == 401
    assert ask(port, "/v1/models", api.tokens[Scope.READ])[0] == 200
    stop()
    assert not answers(port)
    stop = serve_api(f"127.0.0.1:{port}", api.app)
    assert ask(port, "/healthz")[0] == 200, "and again, as after a reload"
    stop()


def test_a_taken_port_is_told_and_the_process_goes_on(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    from monitor.logs import configure_logs

    configure_logs(as_json=True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        stop = serve_api(f"127.0.0.1:{taken.getsockname()[1]}", api.app)
        stop()
    assert "api_not_served" in capsys.readouterr().err


@pytest.mark.parametrize("listen", ["127.0.0.1:99999", "no.such.host.invalid:80", "[::1]:99999"])
def test_an_address_that_cannot_be_listened_on(api: Api, listen: str) -> None:
    serve_api(listen, api.app)()


def test_a_process_that_only_serves_ends_where_it_cannot(tmp_path: Path) -> None:
    config = tmp_path / "driftline.yaml"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        config.write_text(f"models: {{m: {{traffic: {{files: x}}}}}}\napi: {{listen: '{address}'}}\n")
        called = [sys.executable, "-m", "monitor.cli", "api", "-c", str(config)]
        done = subprocess.run(called, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 5, done.stderr
    assert f"the API cannot listen at {address}: Address already in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_ends_by_itself_is_told(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvicorn.Server, "run", lambda *_, **__: None)
    failed: queue.Queue[BaseException] = queue.Queue()
    stop = serve_api("127.0.0.1:0", api.app, failed.put)
    assert "ended by itself: its server returned" in str(failed.get(timeout=10))
    stop()


def test_it_is_served_over_ipv6_too(api: Api) -> None:
    port = free_port()
    stop = serve_api(f"[::1]:{port}", api.app)
    try:
        assert ask(port, "/metrics", host="::1")[0] == 200
    finally:
        stop()


def test_what_was_asked_before_a_stop_is_answered(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, go_on, port = threading.Event(), threading.Event(), free_port()

    def slow(*_: object) -> list[object]:
        inside.set()
        assert go_on.wait(10)
        return []

    monkeypatch.setattr("monitor.store.alert_ledger.SqlAlerts.list", slow)
    stop = serve_api(f"127.0.0.1:{port}", api.app)
    found: list[tuple[int, bytes]] = []
    asking = threading.Thread(target=lambda: found.append(ask(port, "/v1/alerts", api.tokens[Scope.READ])))
    asking.start()
    assert inside.wait(10)
    stopping = threading.Thread(target=stop)
    stopping.start()
    deadline = Deadline.after(SystemClock(), 10)
    while answers(port):
        assert not deadline.expired(), "a stop takes no more requests"
    go_on.set()
    asking.join(10)
    stopping.join(10)
    assert found == [(200, b"[]")]


def test_more_requests_at_once_than_the_database_has_connections(api: Api) -> None:
    port = free_port()
    found: list[int] = []
    stop = serve_api(f"127.0.0.1:{port}", api.app)
    token = api.tokens[Scope.READ]
    threads = [
        threading.Thread(target=lambda: found.extend(ask(port, "/v1/alerts", token)[0] for _ in range(5)))
        for _ in range(40)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    stop()
    assert found == [200] * 200


def test_help_does_not_import_what_serves() -> None:
    program = (
        "import sys\n"
        "from monitor.cli import command\n"
        "command.main(['--help'], standalone_mode=False)\n"
        "heavy = {'fastapi', 'starlette', 'uvicorn', 'pydantic', 'sqlalchemy', 'httpx', 'jinja2'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
