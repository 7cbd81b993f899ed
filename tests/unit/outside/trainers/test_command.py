"""A local command as a trainer: what it sees, what it may leave behind, and all the ways in which it or what runs it may die."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from monitor.act.steps import Progress, Report
from monitor.clock import ManualClock
from monitor.errors import InputError, TransientError
from monitor.outside.trainers import runner
from monitor.outside.trainers.command import CommandTrainer
from tests.trainers.worlds import CLOCK, REQUEST, CommandWorld, a_retrain, command_world, ended, until

RETRAIN = a_retrain()
READY = """
import json, os, pathlib, signal, subprocess, sys
sys.stdin.read()
result = os.environ["DRIFTLINE_RESULT_FILE"]
"""
FOREVER = "open(sys.argv[1] + '.ready', 'w').close()\nopen(sys.argv[1]).read()\n"
"""Waits until the test's world ends."""


@contextmanager
def running(folder: Path, script: str, **more: Any) -> Iterator[CommandWorld]:
    with command_world(folder, READY + script, **more) as world:
        world.trainer.submit(RETRAIN)
        yield world


def report_of(folder: Path, script: str, **more: Any) -> Report:
    with running(folder, script, **more) as world:
        found: Report = ended(world.trainer, RETRAIN)
        return found


def log_of(folder: Path) -> str:
    log = folder / "trainings" / "a1b2c3" / runner.LOG
    return log.read_text() if log.exists() else ""


def pid_of(folder: Path, who: str) -> int:
    path = folder / "trainings" / "a1b2c3" / who
    until(path.exists)
    return int(json.loads(path.read_text())["pid"])


def is_ready(folder: Path) -> None:
    until((folder / "go.ready").exists)


def is_gone(pid: int) -> None:
    def gone() -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True

    until(gone)


def test_it_sees_only_what_it_is_let_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIFTLINE_TEST_SECRET", "s3cr3t")
    monkeypatch.setenv("DRIFTLINE_TEST_SEEN", "yes")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    report_of(tmp_path, "print(json.dumps(dict(os.environ)))", environment=["DRIFTLINE_TEST_SEEN", "NOT_SET"])
    assert json.loads(log_of(tmp_path)) == {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "DRIFTLINE_TEST_SEEN": "yes",
        "DRIFTLINE_RETRAIN_ID": "a1b2c3",
        "DRIFTLINE_MODEL": "flights",
        "DRIFTLINE_RESULT_FILE": str(tmp_path / "trainings" / "a1b2c3" / "result.json"),
    }


def test_no_shell_reads_its_arguments_and_nothing_is_put_into_them(tmp_path: Path) -> None:
    odd = ["$(touch x)", "; ls", "{{ model }}", "a b", "*"]
    with command_world(tmp_path, READY + "print(json.dumps(sys.argv[1:]), file=sys.stderr)") as world:
        settings = {**world.settings, "command": ["./train.py", *odd]}
        trainer = CommandTrainer(_settings(settings), tmp_path / "trainings", CLOCK)
        trainer.submit(RETRAIN)
        ended(trainer, RETRAIN)
    assert json.loads(log_of(tmp_path)) == odd


def test_it_runs_in_its_folder_and_reads_the_request(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    script = "print(os.getcwd(), file=sys.stderr)"
    with command_world(
        tmp_path, f"import json, os, sys\nprint(json.load(sys.stdin)['model'], file=sys.stderr)\n{script}"
    ) as world:
        settings = {**world.settings, "command": [str(tmp_path / "train.py")], "folder": str(tmp_path / "here")}
        trainer = CommandTrainer(_settings(settings), tmp_path / "trainings", CLOCK)
        trainer.submit(RETRAIN)
        ended(trainer, RETRAIN)
    assert log_of(tmp_path).split() == ["flights", str(tmp_path / "here")]


@pytest.mark.parametrize(
    ("script", "candidate"),
    [
        ("", {"uri": "file:///candidates/flights/a1b2c3", "version": "42", "statistics": {}}),
        ("print('hello'); print(json.dumps({'version': 7})); print('[1]'); print('bye')", {"version": "7"}),
        (
            'pathlib.Path(result).write_text(\'{"uri": "file:///x"}\'); print(\'{"uri": "file:///y"}\')',
            {"uri": "file:///x"},
        ),
        ("print(json.dumps({'statistics': {'auc': 0.5}, 'odd': 1}))", {"statistics": {"auc": 0.5}}),
        ("print('x' * 3_000_000); print('{\"version\": \"9\"}')", {"version": "9"}),
    ],
    ids=["says nothing", "says it in a line", "a file counts before that", "more than is asked for", "after much else"],
)
def test_what_it_reports_is_the_candidate(tmp_path: Path, script: str, candidate: dict[str, Any]) -> None:
    report = report_of(tmp_path, script)
    assert report.progress is Progress.COMPLETED, report
    assert report.candidate.items() >= candidate.items()
    assert set(report.candidate) == {"uri", "version", "statistics"}


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("sys.exit(3)", "ended with status 3"),
        ("os.kill(os.getpid(), 9)", "ended by signal 9"),
        ("pathlib.Path(result).write_text('[1]')", "result.json holds no JSON object"),
        ('pathlib.Path(result).write_text(\'{"statistics": {"auc": NaN}}\')', "result.json holds no JSON object"),
        ("pathlib.Path(result).write_bytes(b'{' + b' ' * 2**20 + b'}')", "more than 1048576 bytes"),
        ("os.symlink('/etc/passwd', result)", "result.json cannot be read"),
        ("pathlib.Path(result).mkdir()", "result.json"),
        ("print(json.dumps({'uri': 5}))", "`uri` is no text"),
    ],
)
def test_an_end_that_is_no_good_is_a_failure_with_its_reason(tmp_path: Path, script: str, reason: str) -> None:
    report = report_of(tmp_path, script)
    assert report.progress is Progress.FAILED
    assert reason in report.reason


def test_of_much_output_the_newest_is_kept(tmp_path: Path) -> None:
    script = "for n in range(200_000): print(f'line {n:06}', file=sys.stderr)"
    assert report_of(tmp_path, script, max_output_bytes=100_000).progress is Progress.COMPLETED
    folder = tmp_path / "trainings" / "a1b2c3"
    old, new = ((folder / name).read_bytes() for name in ("output.log.1", "output.log"))
    assert 50_000 < len(old) + len(new) <= 100_000
    assert (old + new).endswith(b"line 199998\nline 199999\n")


def test_output_can_be_read_while_it_runs(tmp_path: Path) -> None:
    with running(tmp_path, "print('epoch 1', flush=True)\n" + FOREVER):
        until(lambda: log_of(tmp_path) == "epoch 1\n")


IGNORES = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + FOREVER


def test_one_that_ignores_being_asked_to_end_is_ended(tmp_path: Path) -> None:
    with running(tmp_path, IGNORES, stop_grace="100ms") as world:
        is_ready(tmp_path)
        world.trainer.cancel(RETRAIN)
        report = ended(world.trainer, RETRAIN)
        is_gone(pid_of(tmp_path, runner.CHILD))
    assert report == Report(Progress.FAILED, "the training was cancelled")


def test_one_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    report = report_of(tmp_path, FOREVER, time_limit="200ms")
    assert report == Report(Progress.FAILED, "the training took longer than its limit of 0:00:00.200000")


def test_one_that_cleans_up_when_asked_to_end_is_waited_for(tmp_path: Path) -> None:
    clean = "def end(*_):\n    print('cleaned', file=sys.stderr)\n    sys.exit(0)\nsignal.signal(signal.SIGTERM, end)\n"
    with running(tmp_path, clean + FOREVER) as world:
        is_ready(tmp_path)
        world.trainer.cancel(RETRAIN)
        assert ended(world.trainer, RETRAIN).reason == "the training was cancelled"
    assert log_of(tmp_path) == "cleaned\n"


def test_what_it_leaves_running_in_its_group_ends_with_it(tmp_path: Path) -> None:
    script = "child = subprocess.Popen(['sleep', '1000'])\nprint(child.pid, file=sys.stderr)"
    assert report_of(tmp_path, script).progress is Progress.COMPLETED
    is_gone(int(log_of(tmp_path)))


def test_it_outlives_the_process_that_asked_for_it(tmp_path: Path) -> None:
    with command_world(tmp_path) as world:
        program = (
            "import json, os, pathlib, sys\n"
            "from monitor.act.retrain import Retrain, RetrainState\n"
            "from monitor.clock import SystemClock\n"
            "from monitor.config.trainers import TrainerSettings\n"
            "from monitor.outside.trainers.command import CommandTrainer\n"
            "settings = TrainerSettings.model_validate(json.loads(sys.argv[1]))\n"
            "now, request = SystemClock().now(), json.loads(sys.argv[3])\n"
            "retrain = Retrain('a1b2c3', 'flights', RetrainState.SUBMITTED, 1, 'me', now, now, now, request=request)\n"
            "CommandTrainer(settings, pathlib.Path(sys.argv[2]), SystemClock()).submit(retrain)\n"
            "os.kill(os.getpid(), 9)\n"
        )
        trainings = str(tmp_path / "trainings")
        done = subprocess.run(
            [sys.executable, "-c", program, json.dumps(world.settings), trainings, json.dumps(REQUEST)],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])},
            check=False,
        )
        assert done.returncode == -signal.SIGKILL
        assert world.trainer.poll(RETRAIN) == Report(Progress.RUNNING)
        assert world.trainer.submit(RETRAIN) == "a1b2c3"
        world.finish()
        assert ended(world.trainer, RETRAIN).candidate["statistics"] == {"auc": 0.75}
        assert len(world.asked()) == 1


def test_where_only_its_runner_is_killed_it_counts_as_running_until_it_ends_and_is_lost_then(tmp_path: Path) -> None:
    with running(tmp_path, FOREVER) as world:
        is_ready(tmp_path)
        os.kill(pid_of(tmp_path, runner.STARTED), signal.SIGKILL)
        is_gone(pid_of(tmp_path, runner.STARTED))
        assert world.trainer.poll(RETRAIN) == Report(Progress.RUNNING)
        world.finish()
        assert ended(world.trainer, RETRAIN).progress is Progress.LOST
        assert world.trainer.submit(RETRAIN) == "a1b2c3"
        assert world.trainer.poll(RETRAIN).progress is Progress.LOST  # type: ignore[union-attr]


def test_where_its_runner_is_killed_it_can_still_be_stopped(tmp_path: Path) -> None:
    with running(tmp_path, IGNORES) as world:
        is_ready(tmp_path)
        os.kill(pid_of(tmp_path, runner.STARTED), signal.SIGKILL)
        is_gone(pid_of(tmp_path, runner.STARTED))
        world.trainer.cancel(RETRAIN)
        assert world.trainer.poll(RETRAIN) == Report(Progress.RUNNING)
        world.trainer.cancel(RETRAIN)
        is_gone(pid_of(tmp_path, runner.CHILD))
        assert ended(world.trainer, RETRAIN).progress is Progress.LOST


def test_a_process_that_has_its_pid_by_now_is_left_alone(tmp_path: Path) -> None:
    with running(tmp_path, FOREVER) as world, subprocess.Popen(["sleep", "1000"]) as bystander:
        is_ready(tmp_path)
        runner_pid = pid_of(tmp_path, runner.STARTED)
        folder = tmp_path / "trainings" / "a1b2c3"
        for name in (runner.STARTED, runner.CHILD):
            (folder / name).write_text(json.dumps({"pid": bystander.pid, "start": "1"}))
        world.trainer.cancel(RETRAIN)
        assert bystander.poll() is None
        bystander.kill()
        os.kill(runner_pid, signal.SIGTERM)
        assert ended(world.trainer, RETRAIN).reason == "the training was cancelled"


def test_a_stop_that_comes_before_the_start_is_heeded(tmp_path: Path) -> None:
    with command_world(tmp_path, READY) as world:
        folder = tmp_path / "trainings" / "a1b2c3"
        folder.mkdir(parents=True)
        (folder / runner.CANCEL).touch()
        world.trainer.submit(RETRAIN)
        assert ended(world.trainer, RETRAIN).reason == "the training was cancelled"
        assert not (folder / runner.CHILD).exists()


def test_of_many_who_start_it_at_once_one_does(tmp_path: Path) -> None:
    with command_world(tmp_path) as world:
        threads = [threading.Thread(target=world.trainer.submit, args=(RETRAIN,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        world.finish()
        assert ended(world.trainer, RETRAIN).progress is Progress.COMPLETED
        assert len(world.asked()) == 1


def test_a_start_that_was_cut_off_is_made_up_for(tmp_path: Path) -> None:
    with command_world(tmp_path, READY) as world:
        folder = tmp_path / "trainings" / "a1b2c3"
        folder.mkdir(parents=True)
        (folder / runner.REQUEST).write_text("{")
        assert world.trainer.poll(RETRAIN) == Report(Progress.LOST, "the training is gone, and has left no result")
        world.trainer.submit(RETRAIN)
        assert ended(world.trainer, RETRAIN).progress is Progress.COMPLETED


def test_on_another_machine_nothing_is_known_of_it(tmp_path: Path) -> None:
    with command_world(tmp_path) as world:
        assert world.trainer.poll(RETRAIN) is None


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"command": ["./no-such.py"]}, "'./no-such.py' is not there"),
        ({"command": ["no-such-program"]}, "'no-such-program' is not there"),
        ({"command": ["./go"]}, "not to be executed"),
        ({"folder": "no-such-folder"}, "is not there"),
    ],
)
def test_what_cannot_be_run_is_refused_and_leaves_nothing(tmp_path: Path, changed: dict[str, Any], why: str) -> None:
    with command_world(tmp_path) as world:
        if "folder" in changed:
            changed = {"folder": str(tmp_path / changed["folder"])}
        trainer = CommandTrainer(_settings({**world.settings, **changed}), tmp_path / "trainings", CLOCK)
        with pytest.raises(InputError, match=why):
            trainer.submit(RETRAIN)
        assert not (tmp_path / "trainings").exists()


@pytest.mark.parametrize("retrain_id", ["../x", "", ".", "a/b", "x" * 200])
def test_an_id_that_is_no_name_of_a_folder_is_refused(tmp_path: Path, retrain_id: str) -> None:
    with command_world(tmp_path) as world, pytest.raises(InputError, match="name of a folder"):
        world.trainer.submit(a_retrain(retrain_id))


def test_what_nobody_may_write_is_tried_again_later(tmp_path: Path) -> None:
    with command_world(tmp_path) as world:
        (tmp_path / "trainings").write_text("in the way")
        with pytest.raises(TransientError, match="cannot start the training"):
            world.trainer.submit(RETRAIN)


def test_folders_of_runs_that_ended_long_ago_are_deleted(tmp_path: Path) -> None:
    clock = ManualClock(CLOCK.now())
    with command_world(tmp_path, READY) as world:
        trainer = CommandTrainer(_settings(world.settings), tmp_path / "trainings", clock)
        trainer.submit(RETRAIN)
        ended(trainer, RETRAIN)
        clock.advance(timedelta(days=29).total_seconds())
        trainer.submit(a_retrain("second"))
        ended(trainer, a_retrain("second"))
        assert len(list((tmp_path / "trainings").iterdir())) == 2
        clock.advance(timedelta(days=2).total_seconds())
        trainer.submit(a_retrain("third"))
        ended(trainer, a_retrain("third"))
        # The second has ended on the clock of the machine, which is the age of its file.
        assert [each.name for each in (tmp_path / "trainings").iterdir()] == ["third"]


def test_a_long_request_arrives_whole(tmp_path: Path) -> None:
    spans = [{"uri": f"file:///spans/{number:080}.parquet"} for number in range(10_000)]
    script = "import json, sys\nprint(len(json.load(sys.stdin)['data']['spans']), file=sys.stderr)"
    with command_world(tmp_path, script) as world:
        retrain = replace(RETRAIN, request={**REQUEST, "data": {"spans": spans}})
        world.trainer.submit(retrain)
        assert ended(world.trainer, retrain).progress is Progress.COMPLETED
    assert log_of(tmp_path) == "10000\n"


def _settings(given: dict[str, Any]) -> Any:
    from monitor.config.trainers import TrainerSettings

    return TrainerSettings.model_validate(given)
