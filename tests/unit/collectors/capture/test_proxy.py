from __future__ import annotations

import asyncio
import gzip
import json
import re
from typing import Any

import pytest

from tests.unit.collectors.capture.upstreams import BIG, PREDICT, Proxied, get, post, run

ROW = b'{"instances": [1.5]}'


def body_of(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


def head_of(answer: bytes) -> str:
    return answer.partition(b"\r\n\r\n")[0].decode()


def test_an_answer_goes_through_and_is_captured_with_all_that_is_known() -> None:
    async def scene(proxied: Proxied) -> None:
        answer = await proxied.talk(post(PREDICT, ROW, "X-Request-Id: abc", "X-Other: 1"))
        assert head_of(answer).startswith("HTTP/1.1 200 OK\r\n")
        assert "x-request-id: abc" in head_of(answer)
        assert json.loads(body_of(answer)) == {"predictions": [0.5]}
        _, headers, body = proxied.model.seen[0]
        assert body == ROW
        assert headers["x-request-id"] == "abc"
        assert headers["x-other"] == "1"

    world = run(scene)
    assert world.totals() == {"sent": 1}
    stated = world.sink.headers()
    assert stated["driftline-request-id"] == "abc"
    assert stated["driftline-model"] == "m"
    assert stated["driftline-version"] == "3"
    assert stated["driftline-status"] == "200"
    assert 0 <= float(stated["driftline-latency-seconds"]) < 20
    (log,) = world.sink.logs()
    assert list(log.predict_log.request.inputs["x"].double_val) == [1.5]
    assert list(log.predict_log.response.outputs["y"].double_val) == [0.5]


def test_a_request_without_an_id_gets_one_in_both_directions() -> None:
    made: list[str] = []

    async def scene(proxied: Proxied) -> None:
        answer = await proxied.talk(post(PREDICT, ROW))
        made.extend(re.findall("x-request-id: ([0-9a-f]{32})", head_of(answer)))
        assert proxied.model.seen[0][1]["x-request-id"] == made[0]

    world = run(scene)
    assert world.sink.headers()["driftline-request-id"] == made[0]


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        pytest.param(get("/v1/models/m/versions/3"), b'["GET /v1/models/m/versions/3 HTTP/1.1"', id="any path"),
        pytest.param(get("/a%20b?c=d"), b'["GET /a%20b?c=d HTTP/1.1"', id="a path as it is written, with its query"),
        pytest.param(get("http://here/a?b"), b'["GET /a?b HTTP/1.1"', id="a path with the host in it"),
        pytest.param(get("/a", method="DELETE"), b'["DELETE /a HTTP/1.1"', id="any method"),
        pytest.param(get("/chunked"), b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", id="a chunked answer"),
        pytest.param(get("/nothing"), b"", id="an answer without a body"),
        pytest.param(get("/interim"), b"abc", id="an answer after an interim one"),
        pytest.param(get("/head", method="HEAD"), b"", id="a HEAD request"),
        pytest.param(
            get("/a", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"), b'["GET /a HTTP/1.1"', id="an upgrade"
        ),
    ],
)
def test_what_is_not_an_inference_goes_through(request_bytes: bytes, expected: bytes) -> None:
    async def scene(proxied: Proxied) -> None:
        for _ in range(2):
            assert body_of(await proxied.talk(request_bytes)).startswith(expected)

    assert run(scene).totals() == {}


def test_an_answer_without_a_length_is_chunked_for_http_1_1_and_ends_with_the_connection_for_http_1_0() -> None:
    async def scene(proxied: Proxied) -> None:
        assert body_of(await proxied.talk(get("/until-close"))) == b"5\r\nabcde\r\n0\r\n\r\n"
        assert body_of(await proxied.talk(b"GET /until-close HTTP/1.0\r\n\r\n")) == b"abcde"
        assert body_of(await proxied.talk(b"GET /chunked HTTP/1.0\r\n\r\n")) == b"abcde"

    run(scene)


def test_headers_of_one_hop_stay_on_their_hop() -> None:
    async def scene(proxied: Proxied) -> None:
        answer = await proxied.talk(get("/headers", "Connection: X-Mine", "X-Mine: 1", "TE: trailers"))
        assert "X-End: 2" in head_of(answer)
        assert "200 Fine" in head_of(answer)
        assert "X-Hop" not in head_of(answer)
        assert "other" not in head_of(answer)
        await proxied.talk(get("/anything", "Connection: X-Mine", "X-Mine: 1", "TE: trailers"))
        assert {"x-mine", "te", "connection"}.isdisjoint(proxied.model.seen[-1][1])

    run(scene)


def test_connections_are_kept_on_both_sides() -> None:
    async def scene(proxied: Proxied) -> None:
        for _ in range(3):
            reader, writer = await proxied.connect()
            for _ in range(3):
                writer.write(post(PREDICT, ROW))
                await reader.readuntil(b"]}")
            writer.close()

    async def counted(proxied: Proxied) -> None:
        await scene(proxied)
        assert proxied.model.connections == 1

    assert run(counted, poll_seconds=0.0).totals() == {"sent": 9}


def test_pipelined_requests_are_answered_in_order() -> None:
    async def scene(proxied: Proxied) -> None:
        requests = [get("/first"), post(PREDICT, ROW), get("/chunked"), get("/last")]
        answer = await proxied.talk(b"".join(requests))
        places = [answer.index(mark) for mark in (b"/first", b"predictions", b"3\r\nabc", b"/last")]
        assert places == sorted(places)

    assert run(scene).totals() == {"sent": 1}


def test_a_request_in_tiny_pieces_is_whole_at_the_other_end() -> None:
    async def scene(proxied: Proxied) -> None:
        reader, writer = await proxied.connect()
        for byte in post(PREDICT, ROW, "X-Request-Id: slow"):
            writer.write(bytes([byte]))
            await writer.drain()
        assert b"predictions" in await reader.readuntil(b"]}")
        writer.close()
        assert proxied.model.seen[0][2] == ROW

    assert run(scene).totals() == {"sent": 1}


def test_a_chunked_request_stays_chunked() -> None:
    async def scene(proxied: Proxied) -> None:
        head = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        answer = await proxied.talk(
            head + b"5\r\n" + ROW[:5] + b"\r\n%x\r\n" % len(ROW[5:]) + ROW[5:] + b"\r\n0\r\n\r\n"
        )
        assert b"predictions" in answer
        assert proxied.model.seen[0][2] == ROW

    assert run(scene).totals() == {"sent": 1}


def test_a_client_that_waits_to_be_encouraged_is() -> None:
    async def scene(proxied: Proxied) -> None:
        reader, writer = await proxied.connect()
        head, _, body = post(PREDICT, ROW, "Expect: 100-continue").partition(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert b"200 OK" in await reader.readuntil(b"]}")
        assert "expect" not in proxied.model.seen[0][1]
        writer.close()

    run(scene)


def test_http_1_0_is_answered_and_closed_unless_it_asks_for_more() -> None:
    async def scene(proxied: Proxied) -> None:
        answer = await proxied.talk(post(PREDICT, ROW, version="1.0"))
        assert "Connection: close" in head_of(answer)
        reader, writer = await proxied.connect()
        writer.write(post(PREDICT, ROW, "Connection: keep-alive", version="1.0"))
        assert b"Connection: keep-alive" in await reader.readuntil(b"]}")
        writer.close()

    assert run(scene).totals() == {"sent": 2}


def test_compressed_bodies_are_passed_on_as_they_are_and_read_for_the_capture() -> None:
    async def scene(proxied: Proxied) -> None:
        packed = gzip.compress(ROW)
        answer = await proxied.talk(post(PREDICT, packed, "Content-Encoding: gzip", "Accept-Encoding: gzip"))
        assert json.loads(gzip.decompress(body_of(answer))) == {"predictions": [0.5]}
        assert proxied.model.seen[0][2] == packed

    (log,) = run(scene).sink.logs()
    assert list(log.predict_log.request.inputs["x"].double_val) == [1.5]
    assert list(log.predict_log.response.outputs["y"].double_val) == [0.5]


@pytest.mark.parametrize(
    ("body", "totals"),
    [
        pytest.param(b"{", {"unreadable": 1}, id="no JSON"),
        pytest.param(b'{"instances": [1, [2]]}', {"unreadable": 1}, id="a ragged tensor"),
        pytest.param(b" " * BIG, {"too_large": 1}, id="beyond the limit"),
    ],
)
def test_what_cannot_be_captured_is_served_and_counted(body: bytes, totals: dict[str, int]) -> None:
    async def scene(proxied: Proxied) -> None:
        assert b"predictions" in await proxied.talk(post(PREDICT, body))

    assert run(scene).totals() == totals


def test_a_large_answer_goes_through() -> None:
    async def scene(proxied: Proxied) -> None:
        assert body_of(await proxied.talk(get("/big"))) == bytes(BIG)

    run(scene)


def test_only_the_share_that_was_asked_for_is_captured() -> None:
    async def scene(proxied: Proxied) -> None:
        await proxied.talk(b"".join(post(PREDICT, ROW, f"X-Request-Id: r-{number}") for number in range(40)))

    world = run(scene, rate=0.5)
    totals = world.totals()
    assert sum(totals.values()) == 40
    assert 5 < totals["sent"] < 35
    assert world.sink.headers()["driftline-sampling-rate"] == "0.5"


def test_an_error_of_the_model_server_goes_through_and_is_captured_with_its_status() -> None:
    async def scene(proxied: Proxied) -> None:
        answer = await proxied.talk(post(PREDICT, b'{"instances": ["fail"]}'))
        assert head_of(answer).startswith("HTTP/1.1 500 Internal Server Error")
        assert body_of(answer) == b'{"error": "no"}'
        assert proxied.failures(500) == 0

    world = run(scene)
    assert world.sink.headers()["driftline-status"] == "500"
    assert not world.sink.logs()[0].predict_log.HasField("response")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param("/v1/models/gone:predict", 502, id="closes the connection"),
        pytest.param("/v1/models/hangs:predict", 504, id="does not answer in time"),
    ],
)
def test_a_model_server_that(path: str, status: int) -> None:
    async def scene(proxied: Proxied) -> None:
        answer = await proxied.talk(post(path, ROW))
        assert head_of(answer).startswith(f"HTTP/1.1 {status} ")
        assert "error" in json.loads(body_of(answer))
        assert proxied.failures(status) == 1
        assert b"predictions" in await proxied.talk(post(PREDICT, ROW))

    world = run(scene, timeout_seconds=0.4)
    assert world.totals() == {"sent": 2}
    assert [world.sink.headers(number)["driftline-status"] for number in range(2)] == [str(status), "200"]


def test_garbage_from_the_model_server_is_a_bad_gateway() -> None:
    async def scene(proxied: Proxied) -> None:
        assert head_of(await proxied.talk(get("/garbage"))).startswith("HTTP/1.1 502 ")

    run(scene)


def test_a_model_server_that_is_not_there_is_a_bad_gateway() -> None:
    async def scene(proxied: Proxied) -> None:
        with_nobody = await asyncio.start_server(proxied.model.serve, "127.0.0.1", 0)
        port = with_nobody.sockets[0].getsockname()[1]
        with_nobody.close()
        await with_nobody.wait_closed()
        object.__setattr__(proxied.proxy.pool.address, "port", port)
        assert head_of(await proxied.talk(post(PREDICT, ROW))).startswith("HTTP/1.1 502 ")

    assert run(scene).totals() == {"sent": 1}


def test_an_answer_that_breaks_off_breaks_off_for_the_client_and_is_not_captured() -> None:
    async def scene(proxied: Proxied) -> None:
        reader, writer = await proxied.connect()
        writer.write(post("/v1/models/half:predict", ROW))
        assert b"abc" in await reader.readuntil(b"abc")
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(7)
        writer.close()

    assert run(scene).totals() == {"unanswered": 1}


def test_a_kept_connection_that_the_model_server_has_closed_costs_no_request() -> None:
    async def scene(proxied: Proxied) -> None:
        proxied.model.closes_after = 1
        for _ in range(5):
            assert b"predictions" in await proxied.talk(post(PREDICT, ROW))

    assert run(scene).totals() == {"sent": 5}


def test_a_client_that_leaves_early_is_counted_and_disturbs_nobody() -> None:
    async def scene(proxied: Proxied) -> None:
        _, writer = await proxied.connect()
        writer.write(post("/v1/models/hangs:predict", ROW) + post(PREDICT, ROW))
        await writer.drain()
        while not proxied.model.seen:
            await asyncio.sleep(0)
        writer.transport.abort()
        while proxied.proxy.clients:
            await asyncio.sleep(0)
        assert b"predictions" in await proxied.talk(post(PREDICT, ROW))

    assert run(scene).totals() == {"sent": 1, "unanswered": 2}


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        pytest.param(b"what is this\r\n\r\n", 400, id="no HTTP"),
        pytest.param(b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400, id="a length that is no number"),
        pytest.param(
            b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
            400,
            id="two lengths, as smugglers send",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
            b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
            400,
            id="two lengths behind an upgrade",
        ),
        pytest.param(b"CONNECT there:80 HTTP/1.1\r\n\r\n", 405, id="a tunnel"),
        pytest.param(b"GET / HTTP/1.1\r\nX: " + b"x" * 300_000, 431, id="a head without an end"),
    ],
)
def test_what_is_no_request_is_refused(raw: bytes, status: int) -> None:
    async def scene(proxied: Proxied) -> None:
        reader, writer = await proxied.connect()
        writer.write(raw)
        assert (await reader.readline()).startswith(b"HTTP/1.1 %d " % status)
        writer.close()
        assert proxied.model.seen == []

    run(scene)


def test_a_new_default_version_is_noticed() -> None:
    async def scene(proxied: Proxied) -> None:
        await proxied.talk(post(PREDICT, ROW))
        while not proxied.world.sink.messages:
            await asyncio.sleep(0.01)
        proxied.model.versions = [3, 12, 7]
        asked = len(proxied.model.seen)
        while len(proxied.model.seen) < asked + 3:  # a look that began after the change has ended
            await asyncio.sleep(0.01)
        await proxied.talk(post(PREDICT, ROW))

    world = run(scene, poll_seconds=0.05)
    assert [world.sink.headers(number)["driftline-version"] for number in range(2)] == ["3", "12"]


@pytest.mark.parametrize(
    ("path", "headers", "version"),
    [
        pytest.param("/v1/models/m/labels/canary:predict", (), "3", id="that the model server has the label stand for"),
        pytest.param(
            "/v1/models/m/labels/other:predict", (), "", id="unknown where the model server knows no such label"
        ),
        pytest.param("/v1/models/m/labels/canary:predict", ("X-Chosen: 42",), "42", id="that the answer says"),
        pytest.param(PREDICT, ("X-Chosen: 42",), "42", id="that the answer says, also where no label was asked"),
        pytest.param(PREDICT, ("X-Chosen: newest",), "3", id="the default one where the answer says no number"),
        pytest.param("/v1/models/m/versions/7:predict", ("X-Chosen: 42",), "7", id="that of the path before all"),
    ],
)
def test_the_version_of_an_answer_is(path: str, headers: tuple[str, ...], version: str) -> None:
    async def scene(proxied: Proxied) -> None:
        assert b"predictions" in await proxied.talk(post(path, ROW, *headers))

    assert run(scene).sink.headers()["driftline-version"] == version


def test_draining_answers_what_was_asked_and_then_takes_nothing() -> None:
    answers: list[bytes] = []

    async def scene(proxied: Proxied) -> None:
        reader, writer = await proxied.connect()
        idle_reader, idle = await proxied.connect()
        head, _, body = post(PREDICT, ROW).partition(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        while not proxied.model.connections:
            await asyncio.sleep(0)
        closing = asyncio.create_task(proxied.proxy.close(20.0))
        assert await idle_reader.read(-1) == b""
        idle.close()
        writer.write(body)
        answers.append(await reader.read(-1))
        writer.close()
        await closing
        with pytest.raises(OSError, match="onnect"):
            await proxied.connect()

    assert run(scene).totals() == {"sent": 1}
    assert "Connection: close" in head_of(answers[0])
    assert b"predictions" in answers[0]


def test_requests_of_many_clients_at_once_keep_their_answers() -> None:
    async def one(proxied: Proxied, number: int) -> None:
        found: Any = json.loads(body_of(await proxied.talk(post(f"/echo/{number}", str(number).encode() * 1000))))
        assert found[0] == f"POST /echo/{number} HTTP/1.1"
        assert found[2] == str(number) * 1000

    async def scene(proxied: Proxied) -> None:
        await asyncio.gather(*(one(proxied, number) for number in range(50)))

    run(scene)


@pytest.mark.parametrize("pieces", [1, 10**6])
@pytest.mark.parametrize(
    "framed",
    [
        pytest.param(f"Content-Length: {len(ROW)}\r\n\r\n".encode() + ROW, id="with a length"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(ROW), ROW), id="in chunks"),
    ],
)
def test_a_post_that_asks_for_http_2_as_java_clients_do_is_answered_without(framed: bytes, pieces: int) -> None:
    async def scene(proxied: Proxied) -> None:
        reader, writer = await proxied.connect()
        head = (
            f"POST {PREDICT} HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n"
        )
        raw = (head.encode() + framed) * 2
        for start in range(0, len(raw), pieces):
            writer.write(raw[start : start + pieces])
            await writer.drain()
        for _ in range(2):
            assert b"200 OK" in await reader.readuntil(b"]}")
        writer.close()
        asked = [one for one in proxied.model.seen if one[0].startswith("POST")]
        assert [body for _, _, body in asked] == [ROW, ROW]
        assert {"upgrade", "http2-settings"}.isdisjoint(asked[0][1])

    assert run(scene).totals() == {"sent": 2}


@pytest.mark.parametrize(("trusted", "same"), [(True, True), (False, False)])
def test_a_request_may_say_when_it_happened_only_where_it_is_trusted(*, trusted: bool, same: bool) -> None:
    at = "2013-03-01T10:15:00.000000Z"

    async def scene(proxied: Proxied) -> None:
        await proxied.talk(post(PREDICT, ROW, f"X-Driftline-Event-Time: {at}"))

    world = run(scene, trust_event_time=trusted)
    assert (world.sink.headers()["driftline-event-time"] == at) is same
