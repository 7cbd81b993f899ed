"""A candidate run in a process of its own: started, watched, ended, and what it left read; changes with how it is kept in check.

What is in that process is the model's as much as ours. So what it leaves is read as anybody's: of bounded size, and as numbers.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import quantiles
from typing import Any

import numpy as np
import pyarrow as pa

from monitor.clock import Deadline, SystemClock
from monitor.errors import TransientError
from monitor.evaluate.examples import Floats
from monitor.outside.candidates import worker
from monitor.outside.candidates.confine import Limits

_KEPT_VARIABLES = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TZ")
_GRACE_SECONDS = 10.0
_LOOK_SECONDS = 0.2
_LAST_BYTES = 4_096
_MOST_REPORT_BYTES = 1 << 16
_MOST_CLASSES = 10_000


@dataclass(frozen=True, slots=True)
class Job:
    """What to run, and with what.

    Attributes:
        candidate: folder of the SavedModel.
        present: folder of the model that serves now, to compare latency with; None where it is not known.
        signature, output: of the models; the only output where none is named.
        smoke_rows: how many rows it must answer first, and is timed by.
        seconds: wall time for all of it.
        memory_bytes: address space.
    """

    candidate: Path
    present: Path | None
    signature: str
    output: str | None
    smoke_rows: int
    seconds: float
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of it.

    Attributes:
        answers: (n,) or (n, k), not all of them finite perhaps; None where there are none.
        reason: why there are none, in one line.
        lacking: whether that is because the rows lack what the model asks for.
        confined: whether the kernel kept it from files and the network.
        load_seconds, first_answer_seconds: how long loading and the first answer took.
        latency_seconds: of an answer to `smoke_rows` rows, of the candidate and, where it was timed, of the present model: the
            lower quartile of some hundred. What else the machine does only ever adds, to some answers more than to others.
        last_line: that it wrote to its standard error.
    """

    answers: Floats | None
    reason: str = ""
    lacking: bool = False
    confined: bool = False
    load_seconds: float | None = None
    first_answer_seconds: float | None = None
    latency_seconds: Mapping[str, float] | None = None
    present_error: str = ""
    last_line: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return what is kept of it: all but the answers."""
        kept = asdict(self)
        del kept["answers"]
        return {name: value for name, value in kept.items() if value not in (None, "")}


def run(job: Job, features: pa.Table, stopping: threading.Event | None = None) -> Ran:
    """Load a candidate in a process with limits, and ask it about rows; what it does wrong is told, never raised.

    Raises:
        TransientError: `stopping` was set meanwhile; the process was ended then.
    """
    with tempfile.TemporaryDirectory(prefix="driftline-gate-") as name:
        folder = Path(name).resolve()
        _lay_out(folder, job, features)
        return _read(folder, _ended(folder, job.seconds, stopping or threading.Event()), features.num_rows, job)


def _lay_out(folder: Path, job: Job, features: pa.Table) -> None:
    models = {worker.CANDIDATE: str(job.candidate.resolve())}
    if job.present is not None:
        models[worker.PRESENT] = str(job.present.resolve())
    limits = Limits(
        memory_bytes=job.memory_bytes,
        cpu_seconds=int(job.seconds * (os.cpu_count() or 1)) + 1,
        file_bytes=_most_answer_bytes(features.num_rows),
    )
    document = {
        "parent": os.getpid(),
        "models": models,
        "signature": job.signature,
        "output": job.output,
        "smoke_rows": job.smoke_rows,
        "limits": asdict(limits),
    }
    (folder / worker.JOB).write_text(json.dumps(document))
    with pa.OSFile(str(folder / worker.ROWS), "wb") as sink, pa.ipc.new_file(sink, features.schema) as writer:
        writer.write_table(features)


def _most_answer_bytes(rows: int) -> int:
    return (1 << 20) + rows * 8 * (_MOST_CLASSES if rows < 1_000 else 1_000)


def _environment(folder: Path) -> dict[str, str]:
    """Return what the process knows of ours: nothing but how to find programs, libraries and this package."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return kept | {
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "PYTHONPATH": str(Path(__file__).resolve().parents[3]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONWARNINGS": "ignore",
        # Training may have the GPU, and a candidate is compared with the present model on the same processor.
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        # Each thread and each arena of the allocator takes address space, which is limited, and processors, which serve.
        "MALLOC_ARENA_MAX": "2",
        "OMP_NUM_THREADS": "1",
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_NUM_INTEROP_THREADS": "1",
    }


@dataclass(frozen=True, slots=True)
class _Ended:
    """How it ended, whether that was because its time was up, and the last line that it wrote."""

    code: int
    late: bool
    last_line: str


def _ended(folder: Path, seconds: float, stopping: threading.Event) -> _Ended:
    """Run the process until it ends, its time is up or we are, and end all that it started."""
    # -P: the folder that it writes to is no place to import from.
    command = [sys.executable, "-P", "-s", "-m", worker.__name__, str(folder)]
    # The file has no name: what it writes is read where it was written, whatever it puts into the folder.
    with tempfile.TemporaryFile(dir=folder) as output:
        process = subprocess.Popen(  # noqa: S603 - our own program
            command,
            cwd=folder,
            env=_environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        deadline = Deadline.after(SystemClock(), seconds)
        try:
            while not (_has_ended(process) or deadline.expired()):
                if stopping.is_set():
                    raise TransientError("the monitor is stopping")
            late = process.returncode is None
        finally:
            _kill(process)
        return _Ended(process.returncode, late, _last_line(output.fileno()))


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_LOOK_SECONDS)
    return process.returncode is not None


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(_GRACE_SECONDS)


def _read(folder: Path, ended: _Ended, rows: int, job: Job) -> Ran:
    report = _report(folder / worker.REPORT)
    ran = Ran(
        None,
        confined=report.get("confined") is True,
        load_seconds=_number(report.get("load_seconds")),
        first_answer_seconds=_number(report.get("first_answer_seconds")),
        latency_seconds=_quartiles(report.get("seconds")),
        present_error=_text(report.get("present_error")),
        last_line=ended.last_line,
    )
    if ended.late:
        return replace(ran, reason=f"it did not answer within {job.seconds:g} seconds")
    if error := _text(report.get("error")):
        stage = "cannot be loaded" if report.get("stage") in ("start", "load") else "does not answer"
        return replace(ran, reason=f"it {stage}: {error}", lacking=report.get("lacking") is True)
    if ended.code != 0:
        said = f"; the last it said: {ended.last_line}" if ended.last_line else ""
        return replace(ran, reason=f"its process ended {_how(ended.code, job)}{said}")
    answers = _answers(folder / worker.ANSWERS, rows)
    return replace(ran, answers=answers, reason="it left no answers that can be read" if answers is None else "")


def _how(code: int, job: Job) -> str:
    if code >= 0:
        return f"with exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    memory = f" (it may take {job.memory_bytes / 2**20:,.0f} MiB of address space)"
    return f"by {name}{memory if name in ('SIGABRT', 'SIGSEGV', 'SIGBUS', 'SIGKILL') else ''}"


def _report(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(_start_of(path, _MOST_REPORT_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _answers(path: Path, rows: int) -> Floats | None:
    """Return float64 numbers, as many for each row; no form that could tell more than these, or unpack to more, is read."""
    try:
        content = _start_of(path, _most_answer_bytes(rows) + 1)
    except OSError:
        return None
    each = len(content) // (8 * rows)
    if not each or len(content) != 8 * rows * each or len(content) > _most_answer_bytes(rows):
        return None
    answers = np.frombuffer(content, "<f8").astype(np.float64)
    return answers if each == 1 else answers.reshape(rows, each)


def _start_of(path: Path, most: int) -> bytes:
    """Return the start of a file that may be something else by now: a link is an error, and a pipe is not waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as stream:
        return stream.read(most) or b""


def _last_line(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    text = os.pread(descriptor, _LAST_BYTES, max(0, size - _LAST_BYTES)).decode("utf-8", "replace")
    return next((_text(line.strip()) for line in reversed(text.splitlines()) if line.strip()), "")


def _text(value: object) -> str:
    """Return a text of somebody else's as one short line of printable characters."""
    return "".join(each if each.isprintable() else " " for each in value[:300]) if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)
    return float(value) if good else None  # type: ignore[arg-type]


def _quartiles(value: object) -> dict[str, float] | None:
    if not isinstance(value, dict):
        return None
    found = {}
    for name in (worker.CANDIDATE, worker.PRESENT):
        listed = value.get(name)
        numbers = [_number(each) for each in listed[:1_000]] if isinstance(listed, list) else []
        known = [each for each in numbers if each is not None]
        if len(known) > 1:
            found[name] = quantiles(known, n=4, method="inclusive")[0]
    return found or None
