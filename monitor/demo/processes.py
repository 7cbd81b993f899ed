"""Child processes of the demo: started, watched, and always stopped. Changes with how children must be treated."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from monitor.errors import TransientError

DRAIN_SECONDS = 20.0
"""How long a child may take to stop after SIGTERM before it is killed."""

_TAIL_LINES = 5
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Child:
    """One running child process with its log file."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def running(self) -> bool:
        """Say whether the process is still there."""
        return self._process.poll() is None

    def finished(self) -> bool:
        """Say whether the process has ended well; raises TransientError when it ended with another exit code than 0."""
        code = self._process.poll()
        if code not in (None, 0):
            raise self.failure(f"ended with exit code {code}")
        return code == 0

    def require_running(self) -> None:
        """Raise TransientError unless the process, which was to run until it is stopped, still runs."""
        code = self._process.poll()
        if code is not None:
            raise self.failure(f"ended too early, with exit code {code}")

    def failure(self, what: str) -> TransientError:
        """Return the error that says `what` became of this process, with the end of its log."""
        return TransientError(f"{self.name} {what}; its log {self.log} ends with: {tail(self.log)}")

    def stop(self) -> None:
        """Ask the process to stop, wait, and kill it if it does not; a second call changes nothing."""
        if self.running():
            self._process.terminate()
        try:
            self._process.wait(DRAIN_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def child(
    name: str, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Child]:
    """Run `command` until the block is left, however it is left; standard output and error go to `log`.

    The child has a session of its own: Ctrl-C in the terminal reaches only the demo, which then stops its children in
    order instead of all dying at once.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - the demo's own commands, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    started = Child(name, process, log)
    try:
        yield started
    finally:
        started.stop()


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind the block as Ctrl-C does, and only once.

    A second signal would cut the unwinding short and leave children behind; they stop within DRAIN_SECONDS anyway.
    """
    unwinding = False

    def interrupt(_number: int, _frame: object) -> None:
        nonlocal unwinding
        if not unwinding:
            unwinding = True
            raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def tail(log: Path) -> str:
    """Return the last lines of a log on one line, or a word for an empty one."""
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    return " | ".join(lines[-_TAIL_LINES:]) or "(nothing)"
