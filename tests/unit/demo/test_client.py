from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from monitor.demo.broker import free_port
from monitor.demo.client import Answer, connect, fetch
from monitor.errors import TransientError
from tests.unit.demo.servers import Adding, model_server


@contextmanager
def saying(reply: bytes, *, close: bool) -> Iterator[str]:
    """Answer the first request of one client with these bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        done = threading.Event()

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(65_536)
                client.sendall(reply)
                if not close:
                    done.wait(10)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            done.set()
            thread.join()


def post(address: str, times: int = 1, timeout_seconds: float = 10.0) -> list[Answer]:
    async def asked() -> list[Answer]:
        connection = await connect(address)
        try:
            return [
                await connection.post("/v1/models/nobody:predict", {"x": "y"}, b"{}", timeout_seconds)
                for _ in range(times)
            ]
        finally:
            connection.close()

    return asyncio.run(asked())


def test_one_connection_carries_one_request_after_the_other() -> None:
    with model_server(Adding()) as address:
        answers = post(address, times=3)
    assert [answer.status for answer in answers] == [404] * 3
    assert all(b"Servable not found" in answer.body for answer in answers)


@pytest.mark.parametrize(
    ("reply", "close", "said"),
    [
        pytest.param(b"", True, "closed the connection", id="a server that goes away"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", True, "closed the connection", id="half an answer"
        ),
        pytest.param(b"what\r\n\r\n", False, "does not speak HTTP", id="no HTTP"),
        pytest.param(b"", False, "did not answer within", id="a server that is silent"),
    ],
)
def test_what_is_no_answer_is_a_clear_error(reply: bytes, close: bool, said: str) -> None:
    with saying(reply, close=close) as address, pytest.raises(TransientError, match=said) as caught:
        post(address, timeout_seconds=0.3 if said.startswith("did") else 10.0)
    assert address in str(caught.value)


def test_nobody_there_is_a_clear_error() -> None:
    with pytest.raises(TransientError, match="cannot be reached"):
        post(f"127.0.0.1:{free_port()}")


def test_fetching_gives_a_page_or_nothing() -> None:
    with model_server(Adding()) as address:
        assert b"AVAILABLE" in (fetch(address, "/v1/models/flights") or b"")
        assert fetch(address, "/v1/models/other") is None
    assert fetch(address, "/v1/models/flights") is None
