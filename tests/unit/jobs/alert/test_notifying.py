"""The notifier against a ledger and receivers that fail in every way, by a clock that the tests move."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from monitor.alert.notification import Notification, Told
from monitor.clock import ManualClock
from monitor.config.settings import Settings
from monitor.errors import TransientError
from monitor.jobs.alert.notifying import Notifier
from monitor.metrics import MonitorMetrics
from monitor.outside.http import Refused
from monitor.outside.receivers.sender import Busy, Sender
from monitor.store import outbox
from monitor.store.ledger import Ledger
from monitor.store.metrics import LedgerMetrics
from monitor.store.outbox import MessageState
from tests.notifications import NOON

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@dataclass
class Receiver:
    """Takes messages, unless `behave` raises what a sender would."""

    behave: Callable[[Notification], None] = lambda _: None
    taken: list[Notification] = field(default_factory=list)
    asked: int = 0

    def send(self, notification: Notification, created_at: datetime, now: datetime) -> None:
        self.asked += 1
        self.behave(notification)
        self.taken.append(notification)

    @property
    def ids(self) -> list[str]:
        return [each.message_id for each in self.taken]


class Crash(BaseException):
    """The process dies here."""


@dataclass
class World:
    """A ledger, a clock, receivers, and notifiers as many as a test starts."""

    ledger: Ledger
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOON))
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    stop: threading.Event = field(default_factory=threading.Event)
    notifiers: list[Notifier] = field(default_factory=list)

    def notifier(
        self, senders: dict[str, Sender], holder: str = "h", patience_seconds: float = 10.0, **receiver: Any
    ) -> Notifier:
        settings = {"type": "webhook", "url": "http://127.0.0.1:1/", **receiver}
        made = Settings.model_validate(
            {"models": {"m": {"traffic": {"files": "x"}}}, "receivers": dict.fromkeys(senders, settings)}
        )
        metrics = MonitorMetrics.on(self.registry if not self.notifiers else CollectorRegistry())
        notifier = Notifier(self.ledger, made, self.clock, holder, senders, metrics, patience_seconds)
        self.notifiers.append(notifier)
        return notifier

    def put(self, *ids: str, receiver: str = "r", subject: str = "s", kind: Told = Told.FIRING) -> None:
        with self.ledger.database.write() as connection:
            told = [Notification(each, receiver, subject, kind, {"labels": {"model": "s3cr3t"}}) for each in ids]
            outbox.put(connection, self.ledger.team, told, self.clock.now())

    def ticks(self, notifier: Notifier, lasting: timedelta, step: timedelta = timedelta(seconds=1)) -> int:
        """Tick at every step of the time, first now, and return how many messages were taken."""
        taken = 0
        for _ in range(int(lasting / step)):
            taken += notifier.tick(self.stop)
            self.clock.advance(step.total_seconds())
        return taken

    def states(self) -> dict[str, str]:
        return {each.notification.message_id: str(each.state) for each in self.ledger.outbox.find()}

    def outcomes(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for metric in self.registry.collect():
            for sample in metric.samples:
                if sample.name == "driftline_notifications_total":
                    outcome = sample.labels["outcome"]
                    found[outcome] = found.get(outcome, 0) + sample.value
        return found


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(Ledger.open(f"sqlite:///{tmp_path}/ledger.db", "default"))
    yield made
    made.stop.set()
    for notifier in made.notifiers:
        notifier.close()
    made.ledger.close()


def failing(error: Exception) -> Callable[[Notification], None]:
    def behave(_: Notification) -> None:
        raise error

    return behave


def test_what_is_due_is_sent_once_in_its_order(world: World) -> None:
    receiver = Receiver()
    notifier = world.notifier({"r": receiver})
    world.put("firing", "repeated", "resolved")
    world.put("other", subject="t")
    assert notifier.tick(world.stop) == 4
    assert notifier.tick(world.stop) == 0
    assert [each for each in receiver.ids if each != "other"] == ["firing", "repeated", "resolved"]
    assert set(world.states().values()) == {"sent"}
    assert world.outcomes() == {"sent": 4.0}


def test_a_receiver_that_is_down_for_an_hour_gets_everything_afterwards_in_order(world: World) -> None:
    back = NOON + HOUR

    def behave(_: Notification) -> None:
        if world.clock.now() < back:
            raise TransientError("http://127.0.0.1:1: Connection refused")

    receiver, other = Receiver(behave), Receiver()
    notifier = world.notifier({"r": receiver, "other": other})
    for subject in "abcdefgh":
        world.put(f"{subject}1", f"{subject}2", f"{subject}3", subject=subject)
    world.put("elsewhere", receiver="other")
    notifier.tick(world.stop)
    assert other.ids == ["elsewhere"], "a dead receiver holds up no other"
    world.ticks(notifier, HOUR, timedelta(seconds=5))
    assert receiver.taken == []
    assert receiver.asked <= 140, "a dead receiver is asked twice a minute, not for each message"
    world.ticks(notifier, timedelta(minutes=16), timedelta(seconds=5))
    assert set(world.states().values()) == {"sent"}
    assert len(receiver.ids) == 24, "each once"
    for subject in "abcdefgh":
        assert [each for each in receiver.ids if each.startswith(subject)] == [f"{subject}{n}" for n in (1, 2, 3)]


def test_a_receiver_that_hangs_does_not_hold_up_the_others(world: World) -> None:
    hanging = threading.Event()
    slow, quick = Receiver(lambda _: (hanging.wait(30), None)[1]), Receiver()
    notifier = world.notifier({"slow": slow, "quick": quick}, patience_seconds=0.05)
    world.put("1", receiver="slow")
    for number in range(3):
        world.put(f"q{number}", receiver="quick")
        taken = 0
        for _ in range(50):
            taken += notifier.tick(world.stop)
            if taken:
                break
        assert quick.ids[-1] == f"q{number}"
    assert slow.asked == 1, "it is left alone while it hangs"
    hanging.set()
    notifier.close()
    assert slow.ids == ["1"]
    assert set(world.states().values()) == {"sent"}


def test_a_crash_between_sending_and_marking_sends_the_message_again_with_its_id(world: World) -> None:
    def dies_after(_: Notification) -> None:
        receiver.taken.append(_)
        raise Crash

    receiver = Receiver(dies_after)
    world.put("1")
    with pytest.raises(Crash):
        world.notifier({"r": receiver}, holder="before").tick(world.stop)
    receiver.behave = lambda _: None
    after = world.notifier({"r": receiver}, holder="after")
    assert after.tick(world.stop) == 0, "the dead one's claim still holds"
    world.ticks(after, 2 * MINUTE)
    assert receiver.ids == ["1", "1"]
    assert world.states() == {"1": "sent"}


def test_two_notifiers_send_each_message_once(world: World) -> None:
    receiver = Receiver()
    first, second = (world.notifier({"r": receiver}, holder) for holder in "ab")
    for number in range(40):
        world.put(str(number), subject=str(number))
    threads = [threading.Thread(target=world.ticks, args=(each, 2 * MINUTE)) for each in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(receiver.ids, key=int) == [str(number) for number in range(40)]


def test_who_lost_the_claim_meanwhile_leaves_the_message_to_the_other(world: World) -> None:
    def slow(_: Notification) -> None:
        world.clock.advance(HOUR.total_seconds())
        world.ledger.outbox.claim("r", "other", world.clock.now(), world.clock.now() + HOUR, 1)

    world.put("1")
    world.notifier({"r": Receiver(slow)}).tick(world.stop)
    assert world.states() == {"1": "waiting"}


def test_what_is_refused_is_given_up_at_once_with_the_reason_and_the_next_goes_on(world: World) -> None:
    def behave(each: Notification) -> None:
        if each.message_id == "1":
            raise Refused("https://a:443 answered 400 Bad Request")

    receiver = Receiver(behave)
    world.put("1", "2")
    world.notifier({"r": receiver}).tick(world.stop)
    assert world.states() == {"1": "given_up", "2": "sent"}
    assert world.ledger.outbox.find(MessageState.GIVEN_UP)[0].error == "https://a:443 answered 400 Bad Request"
    assert world.outcomes() == {"refused": 1.0, "sent": 1.0}


def test_an_error_that_nobody_foresaw_is_an_attempt_in_vain_and_holds_nothing_up(world: World) -> None:
    receiver = Receiver(failing(ZeroDivisionError(f"secret of {NOON}")))
    notifier = world.notifier({"r": receiver})
    world.put("1")
    world.put("2", subject="t")
    notifier.tick(world.stop)
    failed, untried = world.ledger.outbox.find()
    assert (failed.attempts, failed.error) == (1, "an error that was not foreseen (ZeroDivisionError)")
    assert (untried.attempts, untried.error) == (0, "")
    assert world.outcomes() == {"retried": 1.0}
    receiver.behave = lambda _: None
    world.ticks(notifier, timedelta(seconds=5))
    assert sorted(receiver.ids) == ["1", "2"]


def test_a_message_is_given_up_when_its_time_is_over_after_one_last_try(world: World) -> None:
    receiver = Receiver(failing(TransientError("https://a:443: Connection refused")))
    notifier = world.notifier({"r": receiver}, give_up_after="1h")
    world.put("1", "2")
    world.ticks(notifier, HOUR, timedelta(seconds=10))
    assert world.states() == {"1": "waiting", "2": "waiting"}
    asked = receiver.asked
    world.ticks(notifier, MINUTE)
    assert world.states() == {"1": "given_up", "2": "given_up"}
    assert receiver.asked == asked + 2, "the second is as old and was held up by the first: it is tried once"
    errors = {each.error for each in world.ledger.outbox.find()}
    assert errors == {"https://a:443: Connection refused"}


def test_nothing_is_given_up_untried_when_a_clock_jumps_ahead_and_nothing_waits_for_it_when_it_goes_back(
    world: World,
) -> None:
    receiver = Receiver()
    notifier = world.notifier({"r": receiver})
    world.put("before")
    world.clock.advance(timedelta(days=3).total_seconds())
    world.put("ahead", subject="t")
    assert notifier.tick(world.stop) == 2
    assert set(receiver.ids) == {"before", "ahead"}
    receiver.behave = failing(TransientError("https://a:443: Connection refused"))
    world.put("tried")
    world.put("untried", subject="t")
    notifier.tick(world.stop)
    world.clock.at -= timedelta(days=3)
    receiver.behave = lambda _: None
    assert world.ticks(notifier, timedelta(seconds=5)) == 2
    assert set(receiver.ids[2:]) == {"tried", "untried"}


def test_old_messages_that_were_tried_are_not_sent_by_a_notifier_that_was_down_for_days(world: World) -> None:
    receiver = Receiver(failing(TransientError("https://a:443: Connection refused")))
    world.put("old")
    world.notifier({"r": receiver}).tick(world.stop)
    world.clock.advance(timedelta(days=3).total_seconds())
    receiver.behave = lambda _: None
    world.notifier({"r": receiver}, holder="b").tick(world.stop)
    assert world.states() == {"old": "given_up"}
    (message,) = world.ledger.outbox.find()
    assert message.error == "too old to be sent; https://a:443: Connection refused"


@pytest.mark.parametrize(
    ("wish", "pause"),
    [(timedelta(seconds=120), timedelta(seconds=120)), (timedelta(days=365), HOUR), (None, timedelta(seconds=2))],
    ids=["what it asks for", "an hour at most", "the usual"],
)
def test_a_receiver_that_asks_to_be_left_alone_is(world: World, wish: timedelta | None, pause: timedelta) -> None:
    receiver = Receiver(failing(Busy("https://a:443 answered 429 Too Many Requests", wish)))
    notifier = world.notifier({"r": receiver})
    world.put("1")
    world.put("2", subject="t")
    notifier.tick(world.stop)
    receiver.behave = lambda _: None
    world.clock.advance(pause.total_seconds() * 0.7)
    notifier.tick(world.stop)
    assert (receiver.asked, receiver.ids) == (1, []), "other messages to it wait too"
    world.clock.advance(pause.total_seconds() * 0.35)
    assert world.ticks(notifier, timedelta(seconds=5)) == 2
    assert set(receiver.ids) == {"1", "2"}


def test_no_more_is_sent_in_a_minute_than_settings_allow(world: World) -> None:
    receiver = Receiver()
    notifier = world.notifier({"r": receiver}, max_per_minute=20)
    for number in range(50):
        world.put(str(number), subject=str(number))
    assert world.ticks(notifier, timedelta(seconds=1)) == 2, "a tenth at once"
    world.ticks(notifier, timedelta(seconds=59))
    assert 20 <= len(receiver.ids) <= 22
    world.ticks(notifier, 2 * MINUTE)
    assert len(set(receiver.ids)) == 50


def test_a_message_that_the_receiver_chokes_on_does_not_hold_up_other_subjects(world: World) -> None:
    def behave(each: Notification) -> None:
        if each.message_id == "poison":
            raise Busy("https://a:443 answered 500 Internal Server Error")

    receiver = Receiver(behave)
    notifier = world.notifier({"r": receiver})
    world.put("poison")
    for number in range(5):
        world.put(str(number), subject=str(number))
    world.ticks(notifier, MINUTE)
    assert sorted(receiver.ids) == ["0", "1", "2", "3", "4"]


def test_a_stop_lets_go_of_what_was_not_reached(world: World) -> None:
    def behave(_: Notification) -> None:
        world.stop.set()

    receiver = Receiver(behave)
    for number in range(5):
        world.put(str(number), subject=str(number))
    assert world.notifier({"r": receiver}, holder="a").tick(world.stop) == 1
    world.stop.clear()
    receiver.behave = lambda _: None
    assert world.notifier({"r": receiver}, holder="b").tick(world.stop) == 4, "at once, not when a claim is over"
    assert len(set(receiver.ids)) == 5


def test_messages_to_a_receiver_that_settings_no_longer_have_wait_a_day_and_are_given_up(world: World) -> None:
    notifier = world.notifier({"r": Receiver()})
    world.put("1", receiver="gone")
    world.ticks(notifier, timedelta(hours=24), HOUR)
    assert world.states() == {"1": "waiting"}
    world.ticks(notifier, 2 * HOUR, HOUR)
    assert world.states() == {"1": "given_up"}
    world.ticks(notifier, timedelta(days=32), timedelta(days=1))
    assert world.states() == {}, "what ended is forgotten after a month"


def test_a_database_that_does_not_answer_is_the_ticks_error_and_the_message_is_sent_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = Receiver()
    notifier = world.notifier({"r": receiver})
    world.put("1")

    def gone(*_: Any) -> bool:
        raise TransientError("the database is locked")

    with monkeypatch.context() as patched:
        patched.setattr(type(world.ledger.outbox), "sent", gone)
        with pytest.raises(TransientError, match="locked"):
            notifier.tick(world.stop)
    world.ticks(notifier, 2 * MINUTE)
    assert receiver.ids == ["1", "1"]
    assert world.states() == {"1": "sent"}


def test_logs_have_ids_and_reasons_and_nothing_of_what_messages_tell(world: World) -> None:
    behaviours: Sequence[Exception | None] = (TransientError("no connection"), Refused("answered 400"), None)
    with capture_logs() as logs:
        for number, error in enumerate(behaviours):
            receiver = Receiver(failing(error) if error else lambda _: None)
            world.put(str(number), subject=str(number))
            world.notifier({"r": receiver}, holder=str(number)).tick(world.stop)
    assert [entry["event"] for entry in logs] == ["notification_failed", "notification_given_up", "notification_sent"]
    assert logs[0]["reason"] == "no connection"
    assert "s3cr3t" not in str(logs)


def test_prometheus_learns_what_waits_and_for_how_long(world: World) -> None:
    world.put("1", "2")
    world.clock.advance(90)
    registry = CollectorRegistry()
    registry.register(LedgerMetrics(world.ledger, world.clock))
    assert registry.get_sample_value("driftline_notifications_waiting", {"receiver": "r"}) == 2
    assert registry.get_sample_value("driftline_notification_oldest_seconds", {"receiver": "r"}) == 90
    world.notifier({"r": Receiver()}).tick(world.stop)
    assert registry.get_sample_value("driftline_notifications_waiting", {"receiver": "r"}) is None
