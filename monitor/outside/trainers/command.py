"""A local command as a trainer; changes with how its run is started, found again and ended.

The run belongs to a process of its own (`monitor.outside.trainers.runner`) that outlives this one. All that is known of it
lies in its folder, so any monitor of this machine finds it again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from monitor.act.retrain import Retrain
from monitor.act.steps import Progress, Report
from monitor.act.trainer_request import request_of
from monitor.clock import Clock, from_micros
from monitor.config.trainers import TrainerSettings
from monitor.errors import InputError, TransientError
from monitor.outside.trainers import runner
from monitor.outside.trainers.messages import text_of
from monitor.outside.trainers.reports import completed

PATH = "/usr/local/bin:/usr/bin:/bin"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_START_SECONDS = 20.0
_KEEP = timedelta(days=30)
"""Age at which the folder of a run that has ended is deleted."""


@dataclass(frozen=True)
class CommandTrainer:
    """`monitor.act.steps.Trainer` that runs a command of the settings; `folder` gets a folder for each retrain."""

    settings: TrainerSettings
    folder: Path
    clock: Clock

    def submit(self, retrain: Retrain) -> str:
        """Start the command, unless it was started before, and return the name of its folder."""
        environment = self._environment(retrain)
        self._check(environment)
        folder = self._folder(retrain)
        try:
            self._forget_old()
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not (folder / runner.STARTED).exists():
                self._start(retrain, folder, environment)
        except OSError as error:
            raise TransientError(f"cannot start the training in {folder}: {error.strerror}") from error
        return folder.name

    def poll(self, retrain: Retrain) -> Report | None:
        """Look how the run goes; None where nothing is known of it here, as on another machine."""
        folder = self._folder(retrain)
        if not folder.is_dir():
            return None
        end = _read(folder / runner.END)
        if end is None:
            alive = held(folder / runner.LOCK)
            end = _read(folder / runner.END)  # it may have ended between the two looks
            if end is None:
                if alive:
                    return Report(Progress.RUNNING)
                return Report(Progress.LOST, "the training is gone, and has left no result")
        return self._ended(end, retrain, folder)

    def cancel(self, retrain: Retrain) -> None:
        """Ask the run to end; where only its command is left, of that: the first time to end, then at once."""
        folder = self._folder(retrain)
        if not folder.is_dir() or (folder / runner.END).exists():
            return
        asked = (folder / runner.CANCEL).exists()
        try:
            (folder / runner.CANCEL).touch()
        except OSError as error:
            raise TransientError(f"cannot stop the training in {folder}: {error.strerror}") from error
        if not held(folder / runner.LOCK):
            return
        if _signal(_read(folder / runner.STARTED), os.kill, signal.SIGTERM):
            return
        _signal(_read(folder / runner.CHILD), os.killpg, signal.SIGKILL if asked else signal.SIGTERM)

    def _start(self, retrain: Retrain, folder: Path, environment: Mapping[str, str]) -> None:
        (folder / runner.REQUEST).write_text(text_of(request_of(retrain)), encoding="ascii")
        job = {
            "command": self.settings.command,
            "folder": str(Path(self.settings.folder).absolute()),
            "time_limit_seconds": self.settings.time_limit.total_seconds(),
            "stop_grace_seconds": self.settings.stop_grace.total_seconds(),
            "max_output_bytes": self.settings.max_output_bytes,
        }
        (folder / runner.JOB).write_text(json.dumps(job), encoding="ascii")
        program = [sys.executable, "-I", str(Path(runner.__file__)), str(folder)]
        try:
            done = subprocess.run(  # noqa: S603 - our own program, and it gives the command a fixed list of arguments
                program,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                timeout=_START_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise TransientError(f"the training in {folder} does not start") from None
        if done.returncode != 0:
            raise TransientError(f"the training in {folder} does not start (exit {done.returncode})")

    def _check(self, environment: Mapping[str, str]) -> None:
        folder = Path(self.settings.folder).absolute()
        if not folder.is_dir():
            raise InputError(f"the trainer's `folder` {folder} is not there")
        program = (self.settings.command or [""])[0]
        found = str(folder / program) if "/" in program else program
        if shutil.which(found, path=environment["PATH"]) is None:
            raise InputError(f"the trainer's command {program!r} is not there, or not to be executed")

    def _environment(self, retrain: Retrain) -> dict[str, str]:
        """Return what the command sees: a path, a language, where to report, and what settings let through."""
        passed = {name: os.environ[name] for name in self.settings.environment if name in os.environ}
        own = {
            "DRIFTLINE_RETRAIN_ID": retrain.retrain_id,
            "DRIFTLINE_MODEL": retrain.model.replace("\0", ""),
            "DRIFTLINE_RESULT_FILE": str(self._folder(retrain) / runner.RESULT),
        }
        return {"PATH": PATH, "LANG": "C.UTF-8", **passed, **own}

    def _ended(self, end: Mapping[str, Any], retrain: Retrain, folder: Path) -> Report:
        status, stopped = end.get("status"), end.get("stopped")
        if stopped == "time_limit":
            return Report(Progress.FAILED, f"the training took longer than its limit of {self.settings.time_limit}")
        if stopped:
            return Report(Progress.FAILED, "the training was cancelled")
        if end.get("problem"):
            return Report(Progress.FAILED, str(end["problem"]))
        if status != 0:
            how = f"by signal {-status}" if isinstance(status, int) and status < 0 else f"with status {status}"
            return Report(Progress.FAILED, f"the training ended {how}; it said why in {folder / runner.LOG}")
        return completed(end.get("result"), request_of(retrain))

    def _folder(self, retrain: Retrain) -> Path:
        if not _ID.fullmatch(retrain.retrain_id):
            raise InputError("the id of the retrain cannot be the name of a folder")
        return self.folder.absolute() / retrain.retrain_id

    def _forget_old(self) -> None:
        for end in self.folder.glob(f"*/{runner.END}"):
            with contextlib.suppress(FileNotFoundError):
                if self.clock.now() - from_micros(end.stat().st_mtime_ns // 1_000) > _KEEP:
                    shutil.rmtree(end.parent, ignore_errors=True)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return runner.read_object(path.read_bytes())
    except OSError:
        return None


def held(lock: Path) -> bool:
    """Say whether somebody holds the lock of a run: what runs it, or the command itself."""
    try:
        descriptor = os.open(lock, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def _signal(known: Mapping[str, Any] | None, how: Any, number: signal.Signals) -> bool:
    """Send a signal to a process that is known by pid and start, or to its group; say whether it was there."""
    if known is None or not isinstance(known.get("pid"), int) or runner.identity(known["pid"]) != known:
        return False
    try:
        how(known["pid"], number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
