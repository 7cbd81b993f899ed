"""The process that runs a candidate: `python -m monitor.outside.candidates.worker FOLDER`; changes with what is asked of it.

It confines itself before it imports anything that starts threads, and loads the model last. The folder holds what it is given
(`job.json`, `rows.arrow`) and gets what it found (`report.json`, and `answers.f64`: numbers, row by row), which
`monitor.outside.candidates.running` reads.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitor.errors import InputError
from monitor.outside.candidates.confine import Limits, confine, end_with, limit

if TYPE_CHECKING:
    import pyarrow as pa

    from monitor.evaluate.examples import Floats
    from monitor.profile.explaining import Predict

JOB, ROWS, REPORT, ANSWERS = "job.json", "rows.arrow", "report.json", "answers.f64"
CANDIDATE, PRESENT = "candidate", "present"

_PIECE_ROWS = 1_024
"""Rows that are asked about at once. The last piece is filled up, so that all have one shape: nothing is traced twice, and a
model that was exported for so many rows at a time, a power of two, gets as many as it wants."""
_WARM, _LEAST_REPEATS, _MOST_REPEATS = 3, 5, 300
_TIMED_SECONDS = 10.0


def main(folder: Path) -> None:
    """Do the job of a folder, and write what was found; what the model is at fault for is a report too."""
    job = json.loads((folder / JOB).read_text())
    end_with(job["parent"])
    models = {name: Path(path) for name, path in job["models"].items()}
    found: dict[str, Any] = {"confined": confine(models.values(), folder)}
    limit(Limits(**job["limits"]))
    try:
        _run(folder, job, models, found)
    except Exception as error:  # noqa: BLE001 - a model of somebody else's may raise anything, and that is what is to be told
        found["error"] = _line(error)
        found["lacking"] = found["stage"] == "rows" and isinstance(error, InputError)
    (folder / REPORT).write_text(json.dumps(found))


def _run(folder: Path, job: Mapping[str, Any], models: Mapping[str, Path], found: dict[str, Any]) -> None:
    found["stage"] = "start"
    import numpy as np
    import pyarrow as pa

    from monitor.clock import SystemClock
    from monitor.evaluate.model_operations import check_operations

    clock = SystemClock()
    rows = pa.ipc.open_file(folder / ROWS).read_all()
    found["stage"] = "load"
    check_operations(models[CANDIDATE])
    started = clock.monotonic()
    candidate = _loaded(models[CANDIDATE], job)
    found["load_seconds"] = clock.monotonic() - started
    found["stage"] = "rows"
    smoke = rows.slice(0, job["smoke_rows"])
    started = clock.monotonic()
    first = _answers(candidate, smoke)
    found["first_answer_seconds"] = clock.monotonic() - started
    found["stage"] = "answers"
    bad = int((~np.isfinite(first.reshape(len(first), -1)).all(axis=1)).sum())
    if bad:
        raise ValueError(f"{bad} of the first {len(first)} answers are not finite numbers")
    _time(candidate, smoke, job, models, found)
    pieces = [_answers(candidate, rows.slice(at, _PIECE_ROWS)) for at in range(0, rows.num_rows, _PIECE_ROWS)]
    (folder / ANSWERS).write_bytes(np.ascontiguousarray(np.concatenate(pieces), "<f8").tobytes())
    found["stage"] = "done"


def _loaded(folder: Path, job: Mapping[str, Any]) -> Predict:
    from monitor.evaluate.versions.models import model_predict

    return model_predict(str(folder), job["signature"], job["output"])


def _answers(predict: Predict, rows: pa.Table) -> Floats:
    """Return the predictions of at most a piece of rows."""
    import numpy as np
    import pyarrow as pa

    n = rows.num_rows
    places = np.minimum(np.arange(_PIECE_ROWS), n - 1)
    answers = np.asarray(predict(rows.take(pa.array(places))), np.float64)
    if answers.ndim not in (1, 2) or len(answers) != _PIECE_ROWS:
        raise ValueError(f"it answers {_PIECE_ROWS} rows with an array of shape {answers.shape}")
    kept: Floats = answers[:n]
    return kept


def _time(
    candidate: Predict, rows: pa.Table, job: Mapping[str, Any], models: Mapping[str, Path], found: dict[str, Any]
) -> None:
    """Note how long an answer takes, of both models in turns where there are two: whatever else runs here slows both."""
    from monitor.clock import SystemClock

    clock = SystemClock()
    asked = {CANDIDATE: candidate}
    if PRESENT in models:
        try:
            asked[PRESENT] = _loaded(models[PRESENT], job)
            asked[PRESENT](rows)
        except Exception as error:  # noqa: BLE001 - the same holds for the present one
            asked.pop(PRESENT, None)
            found["present_error"] = _line(error)
    seconds: dict[str, list[float]] = {name: [] for name in asked}
    began = clock.monotonic()
    for repeat in range(_WARM + _MOST_REPEATS):
        # Each is the first as often as the other: who comes second may find caches warm, or its time slice used up.
        for name in sorted(asked, reverse=repeat % 2 == 1):
            started = clock.monotonic()
            asked[name](rows)
            if repeat >= _WARM:
                seconds[name].append(clock.monotonic() - started)
        if len(seconds[CANDIDATE]) >= _LEAST_REPEATS and clock.monotonic() - began > _TIMED_SECONDS:
            break
    found["seconds"] = seconds


def _line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__


if __name__ == "__main__":
    main(Path(sys.argv[1]))
