"""Runs one training command to its end, detached from who asked; changes with what a command may do, and what is kept of it.

A process of its own, started as a file so that it needs no more than Python: the monitor may end or be replaced meanwhile. Its
folder is all that the two share:

    job.json      what to run, written before this starts          lock         held as long as this or the command lives
    request.json  the command's standard input                     started.json who this is: pid and start
    cancel        there when it is to be stopped                   child.json   the same of the command
    output.log    what the command says, the newest; before that output.log.1
    result.json   what the command has to report, if it writes one
    end.json      how it ended; written once, last
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from typing import IO, Any, NoReturn

JOB, REQUEST, CANCEL, LOCK, STARTED, CHILD, RESULT, END, LOG = (
    "job.json", "request.json", "cancel", "lock", "started.json", "child.json", "result.json", "end.json", "output.log",
)  # fmt: skip
_TAIL_BYTES = 1_048_576
_MOST_RESULT_BYTES = 1_048_576
_CHUNK_BYTES = 65_536
_LOCK_SECONDS = 1.0
_DRAIN_SECONDS = 5.0
"""How long output is waited for once the command has ended: a daemon of its own may hold the pipe open for ever."""


def main() -> None:
    """Take the lock of the folder and run its job in the background; return at once where somebody has it, or has had it."""
    folder = Path(sys.argv[1])
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    if not _taken(lock) or (folder / STARTED).exists():
        return
    if os.fork():
        os._exit(0)  # who asked need not wait, and is not the parent of what runs
    try:
        run = Run(folder, lock)
        # Only now, that signals are understood, may anybody know whom to send them to.
        write_json(folder / STARTED, identity(os.getpid()))
        run.go()
    finally:
        os._exit(0)


def _taken(lock: int) -> bool:
    """Take the lock, unless somebody keeps it; who only looks whether it is held holds it for a moment too."""
    signal.signal(signal.SIGALRM, _give_up)
    signal.setitimer(signal.ITIMER_REAL, _LOCK_SECONDS)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
    except TimeoutError:
        return False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return True


def _give_up(*_: object) -> NoReturn:
    raise TimeoutError


class Run:
    """One command, from its start to its end."""

    def __init__(self, folder: Path, lock: int) -> None:
        """Prepare; signals that ask to end count from here on."""
        self._folder = folder
        self._lock = lock
        self._job: dict[str, Any] = json.loads((folder / JOB).read_text())
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = threading.Event()
        self._stopped = ""
        signal.signal(signal.SIGTERM, lambda *_: self._stop("cancelled"))
        for ignored in (signal.SIGINT, signal.SIGHUP):
            signal.signal(ignored, signal.SIG_IGN)

    def go(self) -> None:
        """Run the command and write down how it ended."""
        if (self._folder / CANCEL).exists():
            self._write_end(None, "cancelled", None, "")
            return
        log = Log(self._folder / LOG, self._job["max_output_bytes"])
        try:
            with (self._folder / REQUEST).open("rb") as request:
                process = subprocess.Popen(  # noqa: S603 - a fixed list from the settings, and no shell
                    self._job["command"],
                    cwd=self._job["folder"],
                    stdin=request,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    start_new_session=True,
                    # The command keeps the lock should this process be killed: so nobody takes a training for gone that runs.
                    pass_fds=(self._lock,),
                    preexec_fn=_default_signals,  # noqa: PLW1509 - there is one thread yet
                )
        except OSError as error:
            self._write_end(None, "", None, f"it cannot be started: {error.strerror}")
            return
        try:
            self._follow(process, log)
        except BaseException:
            _kill(process.pid, signal.SIGKILL)  # nobody would be left to look after it
            raise

    def _follow(self, process: subprocess.Popen[bytes], log: Log) -> None:
        self._process = process
        write_json(self._folder / CHILD, identity(process.pid))
        if self._stopped or (self._folder / CANCEL).exists():  # it came while the command was being started
            self._stop("cancelled", again=True)
        tail = Tail()
        pumps = [_pump(process.stdout, log, tail), _pump(process.stderr, log, None)]
        limit = threading.Timer(self._job["time_limit_seconds"], self._stop, ("time_limit",))
        limit.daemon = True
        limit.start()
        self._await(process)
        limit.cancel()
        for pump in pumps:
            pump.join(_DRAIN_SECONDS)
        result, problem = self._result(tail) if process.returncode == 0 else (None, "")
        self._write_end(process.returncode, self._stopped, result, problem)

    def _await(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the command, and end what it has left behind in its group while its pid is still taken."""
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        self._ended.set()
        _kill(process.pid, signal.SIGKILL)
        process.wait()

    def _stop(self, why: str, *, again: bool = False) -> None:
        """Ask the command's group to end, and end it after a while."""
        if self._stopped and not again:
            return
        self._stopped = self._stopped or why
        if self._process is None or self._ended.is_set():
            return
        _kill(self._process.pid, signal.SIGTERM)
        threading.Thread(target=self._kill_later, args=(self._process.pid,), daemon=True).start()

    def _kill_later(self, group: int) -> None:
        if not self._ended.wait(self._job["stop_grace_seconds"]):
            _kill(group, signal.SIGKILL)

    def _result(self, tail: Tail) -> tuple[Any, str]:
        """Return what the command reports, and what is wrong with that."""
        try:
            descriptor = os.open(self._folder / RESULT, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(descriptor, "rb") as file:
                content = file.read(_MOST_RESULT_BYTES + 1)
        except FileNotFoundError:
            return tail.last_object(), ""
        except OSError as error:
            return None, f"{RESULT} cannot be read: {error.strerror}"
        if len(content) > _MOST_RESULT_BYTES:
            return None, f"{RESULT} has more than {_MOST_RESULT_BYTES} bytes"
        found = read_object(content)
        return found, "" if found is not None else f"{RESULT} holds no JSON object"

    def _write_end(self, status: int | None, stopped: str, result: Any, problem: str) -> None:
        end = {"status": status, "stopped": stopped, "result": result, "problem": problem}
        write_json(self._folder / END, end)


class Log:
    """A file of bounded size that keeps the newest: when it is half full it becomes the older half."""

    def __init__(self, path: Path, most_bytes: int) -> None:
        """Begin an empty one."""
        self._path = path
        self._half = max(1, most_bytes // 2)
        self._size = 0
        self._lock = threading.Lock()
        self._file = path.open("wb")

    def write(self, chunk: bytes) -> None:
        """Append; a disk that is full loses output, not the training."""
        with self._lock, contextlib.suppress(OSError):
            for start in range(0, len(chunk), self._half):
                part = chunk[start : start + self._half]
                if self._size + len(part) > self._half:
                    self._file.close()
                    self._path.replace(self._path.with_name(f"{self._path.name}.1"))
                    self._file, self._size = self._path.open("wb"), 0
                self._file.write(part)
                self._file.flush()
                self._size += len(part)


class Tail:
    """The end of what the command said on standard output."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._chunks: deque[bytes] = deque()
        self._size = 0

    def write(self, chunk: bytes) -> None:
        """Append, and forget what is too old."""
        self._chunks.append(chunk)
        self._size += len(chunk)
        while self._size - len(self._chunks[0]) >= _TAIL_BYTES:
            self._size -= len(self._chunks.popleft())

    def last_object(self) -> dict[str, Any] | None:
        """Return the last line that is a JSON object, None where there is none."""
        for line in reversed(b"".join(self._chunks).splitlines()):
            if line.lstrip().startswith(b"{") and (found := read_object(line)) is not None:
                return found
        return None


def identity(pid: int) -> dict[str, Any]:
    """Return what tells a process from a later one of the same pid: when it was started, in the kernel's ticks since boot.

    One that has ended, and that nobody has taken note of, is no longer the same.
    """
    try:
        known = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        start = "ended" if known[0] == b"Z" else known[19].decode()
    except (OSError, IndexError):
        start = ""
    return {"pid": pid, "start": start}


def write_json(path: Path, document: Any) -> None:
    """Write a file that is there whole or not at all, and lasts."""
    part = path.with_name(f"{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def read_object(content: bytes) -> dict[str, Any] | None:
    """Return a JSON object without NaN and infinity, None for anything else."""
    try:
        found = json.loads(content, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")


def _pump(pipe: IO[bytes] | None, log: Log, tail: Tail | None) -> threading.Thread:
    thread = threading.Thread(target=_copy, args=(pipe, log, tail), daemon=True)
    thread.start()
    return thread


def _copy(pipe: IO[bytes], log: Log, tail: Tail | None) -> None:
    while chunk := os.read(pipe.fileno(), _CHUNK_BYTES):
        log.write(chunk)
        if tail is not None:
            tail.write(chunk)


def _kill(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _default_signals() -> None:
    """Give the command the signals that this process ignores."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


if __name__ == "__main__":
    main()
