"""Whether a process is alive and ready, as its loops and connections say; changes with what those two words mean.

Alive: every loop has turned lately, so restarting would help nothing. Ready: what the process needs answers at this moment.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime

from monitor.clock import Clock
from monitor.errors import DriftlineError

_ANSWER_SECONDS = 5.0

Checked = Callable[[], bool]


class Health:
    """What a process's roles tell of themselves; safe to use from several threads."""

    def __init__(self, clock: Clock) -> None:
        """Begin without loops and needs: alive, and ready once `started` was called."""
        self._clock = clock
        self._lock = threading.Lock()
        self._turned: dict[str, tuple[float, float]] = {}
        self._needs: dict[str, Checked] = {}
        self._asked: dict[str, Future[bool]] = {}
        self._started = False

    def loop(self, name: str, longest_seconds: float) -> Callable[[], None]:
        """Return what a loop calls at every turn; it counts as stuck when `longest_seconds` pass without a call."""

        def turned() -> None:
            with self._lock:
                self._turned[name] = self._clock.monotonic(), longest_seconds

        turned()
        return turned

    def need(self, name: str, answers: Checked) -> None:
        """Count as ready only while `answers` returns true, within five seconds; a DriftlineError is a no."""
        with self._lock:
            self._needs[name] = answers

    def started(self) -> None:
        """Note that all roles run."""
        self._started = True

    def stopping(self) -> None:
        """Note that the roles are being stopped; nothing is asked any more."""
        self._started = False

    def alive(self) -> Mapping[str, bool]:
        """Say of each loop whether it turns."""
        now = self._clock.monotonic()
        with self._lock:
            return {name: now - at <= longest for name, (at, longest) in sorted(self._turned.items())}

    def ready(self) -> Mapping[str, bool]:
        """Say of each need whether it is met now."""
        with self._lock:
            for name, answers in self._needs.items():
                # One question at a time: a database that hangs must not collect threads.
                if self._started and (name not in self._asked or self._asked[name].done()):
                    self._asked[name] = _ask(name, answers)
            asked = dict(self._asked)
        return {"started": self._started, **{name: _yes(asked.get(name)) for name in sorted(self._needs)}}


def _ask(name: str, answers: Checked) -> Future[bool]:
    asked: Future[bool] = Future()

    def work() -> None:
        try:
            asked.set_result(answers())
        except DriftlineError:
            asked.set_result(False)

    # A daemon: a server that never answers must not keep the process from ending.
    threading.Thread(target=work, name=f"driftline-ready-{name}", daemon=True).start()
    return asked


def _yes(asked: Future[bool] | None) -> bool:
    if asked is None:
        return False
    try:
        return asked.result(_ANSWER_SECONDS)
    except NotInTime:
        return False
