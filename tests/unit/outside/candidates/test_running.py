"""The process of a candidate: what it may do, and what is made of however it ends. No TensorFlow is in it here."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from monitor.clock import Deadline, SystemClock
from monitor.errors import TransientError
from monitor.outside.candidates import running, worker
from monitor.outside.candidates.running import Job, Ran, run

ROWS = pa.table({"number": [0.25, 0.5, 0.75]})
FILES = {"read_outside", "list_outside", "write_outside", "replace_outside", "delete_outside", "make_folder_outside"}


def landlock() -> int:
    """Return the version of Landlock, below 1 where there is none."""
    version: int = ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    return version


def job(candidate: Path, seconds: float = 30.0) -> Job:
    return Job(candidate, None, "serving_default", None, 2, seconds, 2 << 30)


@pytest.fixture
def instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Ran]:
    """Run a program in the place of the worker: its code gets the folder as `folder`."""

    def ran(code: str, seconds: float = 30.0, stopping: threading.Event | None = None) -> Ran:
        program = tmp_path / "program"
        program.mkdir()
        text = "import json, os, signal, sys, time\nfrom pathlib import Path\nfolder = Path(sys.argv[1])\n"
        (program / "stand_in.py").write_text(text + textwrap.dedent(code))
        names = {name: getattr(worker, name) for name in ("JOB", "ROWS", "REPORT", "ANSWERS", "CANDIDATE", "PRESENT")}
        monkeypatch.setattr(running, "worker", SimpleNamespace(__name__="stand_in", **names))
        environment = running._environment
        monkeypatch.setattr(running, "_environment", lambda folder: environment(folder) | {"PYTHONPATH": str(program)})
        return run(job(tmp_path, seconds), ROWS, stopping)

    return ran


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_nothing_outside_can_be_reached(tmp_path: Path, listening: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if landlock() < 4:
        pytest.skip("this kernel's Landlock is too old, or there is none: it takes Linux 6.7")
    (tmp_path / "model").mkdir()
    (tmp_path / "secret").write_text("do not tell")
    (tmp_path / "port").write_text(str(listening))
    monkeypatch.setenv("SECRET", "do not tell")
    names = {name: getattr(worker, name) for name in ("JOB", "ROWS", "REPORT", "ANSWERS", "CANDIDATE", "PRESENT")}
    nosy = SimpleNamespace(__name__="tests.unit.outside.candidates.nosy", **names)
    monkeypatch.setattr(running, "worker", nosy)
    ran = run(job(tmp_path / "model"), ROWS)
    assert ran.confined
    allowed = {"signal_to_parent"} if landlock() < 6 else set()
    assert set(ran.last_line.removeprefix("worked:").split()) == allowed, ran
    assert ran.last_line.startswith("worked:")
    assert (tmp_path / "secret").read_text() == "do not tell"
    assert not {path.name for path in tmp_path.iterdir()} - {"model", "secret", "port"}


def test_the_environment_holds_none_of_ours(instead: Callable[[str], Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "do not tell")
    ran = instead("print(*sorted(os.environ))")
    assert ran.last_line
    known = {"HOME", "TMPDIR", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONWARNINGS", "CUDA_VISIBLE_DEVICES"}
    known |= {"TF_CPP_MIN_LOG_LEVEL", "MALLOC_ARENA_MAX", "OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"}
    known |= {"TF_NUM_INTEROP_THREADS", "LC_CTYPE", *running._KEPT_VARIABLES}
    assert set(ran.last_line.split()) <= known


UNREADABLE = "it left no answers that can be read"
ODD = "{'stage': 'load', 'error': 'one\\nline', 'seconds': {'candidate': [None, 'x', 1e999]}}"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        pytest.param(
            "sys.exit('it went\\x1b wrong')", "exit code 1; the last it said: it went  wrong", id="an exit code"
        ),
        pytest.param("os.abort()", "ended by SIGABRT (it may take 2,048 MiB of address space)", id="an abort"),
        pytest.param("os.kill(os.getpid(), signal.SIGTERM)", "ended by SIGTERM", id="a signal"),
        pytest.param("pass", UNREADABLE, id="nothing at all"),
        pytest.param("(folder / 'answers.f64').write_bytes(b'x' * 23)", UNREADABLE, id="answers that are none"),
        pytest.param("(folder / 'answers.f64').symlink_to('/etc/passwd')", UNREADABLE, id="a link to elsewhere"),
        pytest.param("os.mkfifo(folder / 'answers.f64')", UNREADABLE, id="a pipe for answers"),
        pytest.param("os.mkfifo(folder / 'report.json')", UNREADABLE, id="a pipe for a report"),
        pytest.param("(folder / 'report.json').write_text('[' * 9_000)", UNREADABLE, id="a report that is none"),
        pytest.param(f"(folder / 'report.json').write_text(json.dumps({ODD}))", "be loaded: one line", id="odd values"),
        pytest.param("(folder / 'answers.f64').write_bytes(bytes(16))", UNREADABLE, id="fewer answers than rows"),
        pytest.param("(folder / 'answers.f64').write_bytes(b'')", UNREADABLE, id="an empty file"),
        pytest.param("open(folder / 'answers.f64', 'wb').truncate(24 << 20)", UNREADABLE, id="too much"),
    ],
)
def test_however_it_ends_there_is_a_reason(code: str, said: str, instead: Callable[[str], Ran]) -> None:
    ran = instead(code)
    assert ran.answers is None
    assert said in ran.reason
    assert ran.reason.isprintable()


def test_who_does_not_end_is_ended_with_all_that_it_started(instead: Callable[..., Ran], tmp_path: Path) -> None:
    code = f"""
    child = os.fork()
    if child:
        Path({str(tmp_path / "child")!r}).write_text(str(child))
    signal.pause()
    """
    ran = instead(code, 1.0)
    assert ran.reason == "it did not answer within 1 seconds"
    child = int((tmp_path / "child").read_text())
    for _ in range(1_000):
        if _state(child) in ("", "Z"):
            break
        os.sched_yield()
    assert _state(child) in ("", "Z")


def test_it_is_ended_soon_after_the_monitor_is_to_stop(instead: Callable[..., Ran], tmp_path: Path) -> None:
    code = f"""
    Path({str(tmp_path / "begun")!r}).write_text(str(os.getpid()))
    signal.pause()
    """
    stopping, deadline = threading.Event(), Deadline.after(SystemClock(), 30)
    with ThreadPoolExecutor(1) as executor:
        running_one = executor.submit(instead, code, 600.0, stopping)
        while not (tmp_path / "begun").exists() and not deadline.expired():
            os.sched_yield()
        stopping.set()
        with pytest.raises(TransientError, match="the monitor is stopping"):
            running_one.result(10)
    assert _state(int((tmp_path / "begun").read_text())) == ""


def _state(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


@pytest.mark.parametrize(("count", "shape"), [(3, (3,)), (6, (3, 2))])
def test_answers_are_one_number_a_row_or_several(
    count: int, shape: tuple[int, ...], instead: Callable[[str], Ran]
) -> None:
    ran = instead(f"import struct; (folder / 'answers.f64').write_bytes(struct.pack('<{count}d', *range({count})))")
    assert ran.answers is not None
    assert ran.answers.shape == shape
    assert ran.answers.ravel().tolist() == list(range(count))


def test_the_folder_of_a_run_is_deleted(instead: Callable[[str], Ran]) -> None:
    ran = instead("print(folder)")
    assert ran.last_line
    assert not Path(ran.last_line).exists()


def test_signals_of_other_systems_have_a_name_too(tmp_path: Path) -> None:
    assert running._how(-signal.SIGRTMIN - 1, job(tmp_path)) == f"by signal {signal.SIGRTMIN + 1}"
