"""The environment of the peers: made once, beside the benches; changes with how it is made and asked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
from pyarrow import parquet

_BENCH = Path(__file__).resolve().parent.parent
_FOLDER = _BENCH / ".peers"
_REQUIREMENTS = _BENCH / "peers" / "requirements.txt"
_INSTALLED = _FOLDER / "installed.txt"
_PYTHON = _FOLDER / "bin" / "python"
_LIMIT_SECONDS = 900.0
_TOOLS = _BENCH.parent / ".tools"
_PIP_QUIETLY = ("--quiet", "--disable-pip-version-check")
_NO_TELEMETRY = {"WHYLOGS_NO_ANALYTICS": "True", "NML_DISABLE_USAGE_LOGGING": "1", "DO_NOT_TRACK": "1"}


class PeersMissing(Exception):
    """The peers cannot be installed or do not run; the text says why in one line."""


def install() -> None:
    """Make the environment, unless it holds the wanted versions already.

    Raises:
        PeersMissing: it cannot be made.
    """
    wanted = _REQUIREMENTS.read_text()
    if _INSTALLED.exists() and _INSTALLED.read_text() == wanted:
        return
    print("installing the peers into bench/.peers (once; a minute or two)", flush=True)
    uv = _uv()
    if uv:
        _run(sys.executable, "-m", "venv", "--clear", "--without-pip", str(_FOLDER))
        _run(uv, "pip", "install", "--quiet", "--python", str(_PYTHON), "--requirement", str(_REQUIREMENTS))
    else:
        _run(sys.executable, "-m", "venv", "--clear", str(_FOLDER))
        _run(str(_PYTHON), "-m", "pip", "install", *_PIP_QUIETLY, "--requirement", str(_REQUIREMENTS))
    _INSTALLED.write_text(wanted)


def measure(reference: pa.Table, current: pa.Table, runs: int) -> dict[str, Any]:
    """Return what peers/measure.py says about two tables, on the cores that this process may use.

    Raises:
        PeersMissing: it failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / "reference.parquet", Path(folder) / "current.parquet"]
        for table, file in zip((reference, current), files, strict=True):
            parquet.write_table(table, file)
        said = _run(str(_PYTHON), str(_BENCH / "peers" / "measure.py"), *map(str, files), str(runs))
    # Libraries may greet on standard output first.
    measured: dict[str, Any] = json.loads(said.splitlines()[-1])
    return measured


@contextmanager
def running(script: Path, *arguments: str) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Run a script of the peers' environment that converses; yields its standard input and output, and ends it.

    What it says on standard error is dropped: libraries warn a lot.
    """
    with subprocess.Popen(
        [str(_PYTHON), str(script), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **_NO_TELEMETRY},
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise PeersMissing("the pipes of a peer were not made")
        try:
            yield process.stdin, process.stdout
        finally:
            process.terminate()


def _uv() -> str | None:
    places = (_TOOLS / "uv" / "bin", _TOOLS / "uv-venv" / "bin")
    return shutil.which("uv") or next((str(place / "uv") for place in places if (place / "uv").is_file()), None)


def _run(*command: str) -> str:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_LIMIT_SECONDS,
            check=False,
            env={**os.environ, **_NO_TELEMETRY},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeersMissing(" ".join(str(error).split())) from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        raise PeersMissing(f"{Path(command[0]).name}: {lines[-1].strip()}")
    return done.stdout
