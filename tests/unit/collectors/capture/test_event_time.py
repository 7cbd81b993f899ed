from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.unit.collectors.capture.upstreams import PREDICT, Proxied, post, run

ROW = b'{"instances": [1.5]}'
SAID = "2013-03-01T10:15:00Z"


def captured_time(header: str, *, trusted: bool) -> datetime:
    seen: list[dict[str, str]] = []

    async def scene(proxied: Proxied) -> None:
        await proxied.talk(post(PREDICT, ROW, f"X-Driftline-Event-Time: {header}"))
        seen.append(proxied.model.seen[0][1])

    world = run(scene, trust_event_time=trusted)
    assert ("x-driftline-event-time" in seen[0]) is not trusted, "a header that is not ours goes through"
    return datetime.fromisoformat(world.sink.headers()["driftline-event-time"])


def test_a_trusted_request_says_when_it_happened() -> None:
    assert captured_time(SAID, trusted=True) == datetime(2013, 3, 1, 10, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "trusted"),
    [
        pytest.param(SAID, False, id="without the option nobody may say"),
        pytest.param("yesterday", True, id="no time"),
        pytest.param("2013-03-01T10:15:00", True, id="no zone"),
        pytest.param("9999-12-31T23:59:59-23:59", True, id="beyond the years there are"),
    ],
)
def test_else_it_happened_when_it_came(header: str, trusted: bool) -> None:
    assert abs(captured_time(header, trusted=trusted) - datetime.now(UTC)) < timedelta(minutes=5)  # noqa: TID251 - the proxy's clock is the machine's
