from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from monitor.demo.processes import child, interruptible
from monitor.errors import TransientError

FOREVER = [sys.executable, "-c", "import signal; signal.pause()"]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_child_is_stopped_when_the_block_fails(tmp_path: Path) -> None:
    pids = []

    def fail() -> None:
        with child("sleeper", FOREVER, tmp_path / "log") as process:
            pids.append(process.pid)
            assert process.running()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not alive(pids[0])


def test_a_child_that_dies_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; print('no such topic'); sys.exit(5)"]
    with child("driftline collect", command, tmp_path / "logs" / "log") as process:
        process._process.wait()
        with pytest.raises(TransientError, match=r"driftline collect ended too early, with exit code 5.*no such topic"):
            process.require_running()
        with pytest.raises(TransientError, match="exit code 5"):
            process.finished()


def test_a_child_that_ends_well_has_finished_but_must_not_end_where_it_is_to_run(tmp_path: Path) -> None:
    with child("baseline", [sys.executable, "-c", ""], tmp_path / "log") as process:
        process._process.wait()
        assert process.finished()
        with pytest.raises(TransientError, match=r"exit code 0.*\(nothing\)"):
            process.require_running()


def test_a_running_child_has_not_finished_and_can_be_stopped_twice(tmp_path: Path) -> None:
    with child("sleeper", FOREVER, tmp_path / "log") as process:
        assert not process.finished()
        process.stop()
        process.stop()
        assert not process.running()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_unwind_once_so_that_unwinding_is_not_cut_short(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    unwound = []

    def run() -> None:
        with interruptible():
            try:
                os.kill(os.getpid(), number)
            finally:
                os.kill(os.getpid(), number)
                unwound.append(number)

    with pytest.raises(KeyboardInterrupt):
        run()
    assert unwound == [number]
    assert signal.getsignal(number) is before


def test_the_terminals_interrupt_reaches_only_the_parent(tmp_path: Path) -> None:
    with child("sleeper", FOREVER, tmp_path / "log") as process:
        group = -1
        with suppress(ProcessLookupError):
            group = os.getpgid(process.pid)
        assert group not in (-1, os.getpgid(0))
