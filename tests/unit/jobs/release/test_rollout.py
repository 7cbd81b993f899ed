"""Canaries on a ledger: begun, watched on live traffic, promoted with a baseline, rolled back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from monitor.act.lifecycle import Event
from monitor.act.retrain import Retrain, RetrainState
from monitor.act.steps import CanaryVerdict
from monitor.clock import ManualClock, rfc3339, to_micros
from monitor.config.settings import Settings
from monitor.errors import InputError, TransientError
from monitor.jobs.baselines import baseline_from_windows
from monitor.jobs.judging import Judge
from monitor.jobs.release.rollout import ServingRollout
from monitor.jobs.retrain.releasing import ROLLING_BACK
from monitor.jobs.window_rows import ActiveBaselines
from monitor.outside.http import HttpClient
from monitor.records import EVENT_TIME_TYPE
from monitor.store.ledger import Ledger
from monitor.store.verdict_ledger import Judgement
from tests.ledgers import HOUR, NOON
from tests.unit.jobs.label_world import Seen, World
from tests.unit.outside.tf_serving.fake import FakeServing

WAITING, GOOD, BAD = CanaryVerdict.WAITING, CanaryVerdict.GOOD, CanaryVerdict.BAD
CONFIG = """\
model_config_list {
  config { name: "flights" base_path: "BASE" model_version_policy { specific { versions: 1 } } }
}
"""


@dataclass
class Stage:
    """A model, what serves it, and a retrain of it whose candidate, version 2, waits to serve."""

    folder: Path
    ledger: Ledger
    canary: Mapping[str, Any] = field(default_factory=dict)
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOON))
    judges: bool = True
    time: str = "replay"

    def __post_init__(self) -> None:
        self.world = World(self.ledger)
        self.base, self.candidate = self.folder / "versions", self.folder / "candidates" / "run"
        for path in (self.base / "1", self.candidate):
            path.mkdir(parents=True)
            (path / "saved_model.pb").write_text(str(path))
        self.config = self.folder / "models.config"
        self.config.write_text(CONFIG.replace("BASE", str(self.base)))
        self.server = FakeServing(self.config)
        self.retrain = Retrain(
            "r1",
            "model",
            RetrainState.CANARY,
            1,
            "me",
            NOON,
            NOON,
            NOON,
            request={"data": {"start": rfc3339(NOON - 4 * HOUR), "end": rfc3339(NOON)}},
            candidate={"uri": "run", "version": "2"},
        )
        with self.ledger.database.write() as connection:
            self.ledger.retrains.propose_in(connection, self.retrain, NOON)
        self.rollout = self.made()
        self.random = np.random.default_rng(7)
        self.untold: list[Seen] = []
        self.traffic("1", range(-4, 0))

    def made(self, **retrain: Any) -> ServingRollout:
        serving = {"model": "flights", "model_config_file": str(self.config), "rest": "http://serving:8501"}
        canary = {"tf_serving": serving, "watch_for": "4h", "give_up_after": "12h", "min_rows": 100, **self.canary}
        settings = Settings.model_validate(
            {
                "kafka": {"bootstrap_servers": ["k:9092"]},
                "candidates": f"file:{self.folder}/candidates",
                "models": {
                    "model": {
                        "traffic": {"topic": "requests"},
                        "labels": {"topic": "labels", "horizon": "4h"},
                        "windows": {"length": "1h", "allowed_lateness": "0s", "time": self.time},
                        "retrain": {
                            "trainer": {"type": "command", "command": ["/bin/true"]},
                            "canary": canary,
                            **retrain,
                        },
                    }
                },
            }
        )
        client = cast("HttpClient", self.server)
        return ServingRollout(self.ledger, self.world.storage, settings, client, self.clock, self.clock.advance)

    def traffic(
        self,
        version: str,
        hours: range,
        *,
        per_hour: int = 100,
        off: float = 0.0,
        labels: bool = True,
        lost: float = 0.0,
    ) -> None:
        """Serve requests of a version, judge their windows, and tell their labels; `off` of the predictions are wrong."""
        until = hours.stop
        rows, told = [], []
        for hour in hours:
            for place in range(per_hour):
                label = float(self.random.integers(0, 2))
                wrong = self.random.random() < 0.1 + off
                score = 0.5 + (0.35 if (label == 1.0) != wrong else -0.35) + 0.1 * float(self.random.random() - 0.5)
                score = float("nan") if self.random.random() < lost else score
                name = f"{version}/{hour}/{place}"
                rows.append(Seen(name, hour + place / per_hour, number=score))
                told.append(Seen(name, hour + place / per_hour, label=label))
        self.world.traffic(*rows, until=until, version=version)
        self.untold += [] if labels else told
        self.world.labels(*(told if labels else ()), until=until)
        if self.judges:
            self.judge()

    def judge(self, **flagged: str) -> None:
        """Judge closed windows; `flagged` names a kind of finding by version, as v2."""
        for pending in self.ledger.windows.pending("model", 100 * HOUR, NOON + 2000 * HOUR):
            key = pending.key
            kind = flagged.get(f"v{key.version}")
            document = {
                "version": key.version,
                "window_start": key.window.start.isoformat(),
                "window_end": key.window.end.isoformat(),
                "rows": sum(span.rows for span in pending.spans),
                "verdict": "flagged" if kind else "ok",
                "findings": [{"kind": kind, "flagged": True}] if kind else [],
            }
            self.ledger.verdicts.record(Judgement(pending, document, None, None, "hash"), self.world.lease, NOON)

    def begin(self) -> None:
        found = self.rollout.begin(self.retrain)
        assert (found.verdict, found.reason) == (WAITING, "version 2 serves beside 1")

    def serve(self, hours: range, **candidate: Any) -> None:
        """Serve both versions."""
        labels = candidate.get("labels", True)
        self.traffic("1", hours, labels=labels)
        self.traffic("2", hours, **candidate)

    def verdict(self) -> tuple[CanaryVerdict, str]:
        found = self.rollout.watch(self.retrain)
        return CanaryVerdict(found.verdict), found.reason


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", "default")
    yield opened
    opened.close()


@pytest.fixture
def stage(tmp_path: Path, ledger: Ledger, request: pytest.FixtureRequest) -> Stage:
    return Stage(tmp_path, ledger, getattr(request, "param", {}))


def test_a_canary_without_harm_is_good_once_it_was_watched(stage: Stage) -> None:
    stage.begin()
    assert stage.verdict()[0] is WAITING
    stage.serve(range(3))
    verdict, reason = stage.verdict()
    assert (verdict, reason) == (
        WAITING,
        "no harm so far: 300 rows of the candidate and 300 of the stable version in 3h",
    )
    stage.serve(range(3, 4))
    found = stage.rollout.watch(stage.retrain)
    assert found.verdict == GOOD
    assert found.details["rows"] == {"stable": 400, "candidate": 400}
    assert found.details["verdicts"]["candidate"] == {"ok": 4}


def test_a_worse_canary_is_bad_before_it_was_watched_to_the_end(stage: Stage) -> None:
    stage.begin()
    stage.serve(range(2), off=0.6, per_hour=300)
    verdict, reason = stage.verdict()
    assert verdict is BAD
    assert reason.startswith("its log_loss is worse: ")


def test_answers_without_a_prediction_are_harm_also_without_labels(stage: Stage) -> None:
    stage.begin()
    stage.serve(range(3), lost=0.4, labels=False)
    verdict, reason = stage.verdict()
    assert (verdict, reason.split(":")[0]) == (BAD, "its unanswered is worse")


@pytest.mark.parametrize("stage", [{"labels": "require", "margin": 0.2}], indirect=True)
def test_labels_that_come_late_are_awaited_where_they_must_show_it(stage: Stage) -> None:
    stage.begin()
    stage.serve(range(5), labels=False, per_hour=300)
    verdict, reason = stage.verdict()
    assert (verdict, reason.startswith("labels have not shown yet that it is no worse")) == (WAITING, True)
    stage.world.labels(*stage.untold, until=5.5)
    verdict, reason = stage.verdict()
    assert (verdict, reason.startswith("labels show that it is no worse")) == (GOOD, True)


@pytest.mark.parametrize("stage", [{"margin": 0.5, "metrics": ["error"]}], indirect=True)
def test_labels_that_show_it_end_the_watch_early(stage: Stage) -> None:
    stage.begin()
    stage.serve(range(2), per_hour=400)
    verdict, reason = stage.verdict()
    assert (verdict, reason.startswith("labels show that it is no worse")) == (GOOD, True)


def test_a_canary_that_nobody_asks_is_waited_for_and_given_up(stage: Stage) -> None:
    stage.begin()
    stage.serve(range(11), per_hour=5)
    assert stage.verdict()[0] is WAITING
    stage.serve(range(11, 12), per_hour=5)
    verdict, reason = stage.verdict()
    assert (verdict, reason) == (
        BAD,
        "too few rows: 60 rows of the candidate and 1,200 of the stable version in 12h, 100 of each are needed",
    )


@pytest.mark.parametrize(
    ("flagged", "verdict"),
    [
        pytest.param({"v2": "output_health"}, BAD, id="at the candidate only"),
        pytest.param({"v1": "output_health", "v2": "output_health"}, GOOD, id="at both: it is the requests"),
        pytest.param({"v1": "output_health"}, GOOD, id="at the stable version only"),
        pytest.param({"v2": "prediction_drift"}, GOOD, id="drift against a baseline that another version has made"),
    ],
)
def test_unhealthy_outputs_count_where_the_stable_version_has_none(
    stage: Stage, flagged: dict[str, str], verdict: CanaryVerdict
) -> None:
    stage.begin()
    stage.judges = False
    stage.serve(range(4))
    stage.judge(**flagged)
    found = stage.rollout.watch(stage.retrain)
    assert found.verdict == verdict
    assert found.details["only_candidate"] == ([flagged["v2"]] if "v2" in flagged and "v1" not in flagged else [])


@pytest.mark.parametrize(
    ("stage", "verdict"),
    [
        pytest.param({"max_prediction_shift": 0.1}, BAD, id="farther apart than is allowed"),
        pytest.param({"max_prediction_shift": 0.9}, GOOD, id="allowed"),
        pytest.param({}, GOOD, id="not limited"),
    ],
    indirect=["stage"],
)
def test_predictions_of_both_are_held_against_each_other_on_the_baselines_cells(
    stage: Stage, verdict: CanaryVerdict
) -> None:
    baseline_of_traffic(stage)
    stage.begin()
    stage.judges = False
    judge = Judge(stage.ledger, stage.world.storage, ActiveBaselines(stage.ledger))
    for hour in range(4):
        for version, low, high in (("1", 0.1, 0.9), ("2", 0.4, 0.99)):
            scores = np.linspace(low, high, 200)
            rows = [Seen(f"{version}/{hour}/{n}", hour + n / 200, number=score) for n, score in enumerate(scores)]
            stage.world.traffic(*rows, until=hour + 1, version=version)
    for pending in stage.ledger.windows.pending("model", 100 * HOUR, NOON + 2000 * HOUR):
        found = judge.judge(pending, stage.rollout.settings.models["model"])
        stage.ledger.verdicts.record(found, stage.world.lease, NOON)
    watched = stage.rollout.watch(stage.retrain)
    assert (watched.verdict, "predictions are" in watched.reason) == (verdict, verdict is BAD), watched.reason
    assert 0.15 < watched.details["prediction_shift"] <= 0.375  # which it is without cells


def test_a_canary_that_stands_still_is_not_read_again(stage: Stage) -> None:
    stage.begin()
    stage.serve(range(2))
    found = stage.rollout.watch(stage.retrain)
    for name in stage.world.storage.list():
        stage.world.storage.delete(name)
    assert stage.rollout.watch(stage.retrain) is found


def test_a_canary_whose_traffic_stands_still_is_given_up_by_the_time_since_it_answered(stage: Stage) -> None:
    stage.time = "live"
    stage.rollout = stage.made()
    stage.begin()
    with stage.ledger.database.write() as connection:  # it took an hour to load
        connection.exec_driver_sql("UPDATE rollouts SET began_at = began_at - 3600000000")
    verdicts = []
    for _ in range(14):
        verdicts.append(stage.verdict()[0])
        stage.clock.advance(HOUR.total_seconds())
    assert verdicts == [WAITING] * 12 + [BAD] * 2


def training_rows(stage: Stage, n: int = 600) -> None:
    times = [to_micros(NOON - 4 * HOUR + timedelta(seconds=20 * row)) for row in range(n)]
    columns = {
        "event_time": pa.array(times, pa.int64()).cast(EVENT_TIME_TYPE),
        "request_id": [str(row) for row in range(n)],
        "number": stage.random.random(n),
        "prediction": stage.random.random(n),
        "label": stage.random.integers(0, 2, n).astype(float),
    }
    pq.write_table(pa.table(columns), stage.candidate / "rows.parquet")


def test_a_promotion_brings_the_baseline_that_the_trainer_left_and_a_roll_back_takes_it_away(stage: Stage) -> None:
    training_rows(stage)
    first = baseline_of_traffic(stage)
    before = stage.config.read_text()
    stage.begin()
    found = stage.rollout.promote(stage.retrain)
    assert found.reason == (
        "version 2 serves instead of 1; baseline 2 comes with it, of 600 rows that the trainer left beside the model"
    )
    assert stage.ledger.baselines.active_number("model") == 2
    again = stage.rollout.promote(stage.retrain)
    assert again.details == found.details
    assert [row.number for row in stage.ledger.baselines.all_of("model")] == [1, 2]
    row = stage.ledger.baselines.all_of("model")[1]
    assert (row.provenance["retrain"], row.provenance["version"]) == ("r1", "2")
    assert stage.rollout.roll_back(stage.retrain).reason == "version 1 serves as before"
    assert stage.ledger.baselines.active_number("model") == first
    assert stage.config.read_text() == before


def baseline_of_traffic(stage: Stage) -> int:
    model = stage.rollout.settings.models["model"]
    made = baseline_from_windows(
        "model", stage.ledger, stage.world.storage, model, version="1", since=None, until=None, schema=None
    )
    document, types = made.baseline.to_document(), made.baseline.column_types
    return stage.ledger.baselines.add(
        "model", document, types, made.provenance, rows=400, actor="me", activate=True, now=NOON
    )


def test_without_rows_of_the_trainers_the_spans_that_it_was_trained_on_are_the_baseline(stage: Stage) -> None:
    stage.begin()
    stage.serve(range(1))
    found = stage.rollout.promote(stage.retrain)
    assert found.reason == (
        "version 2 serves instead of 1; baseline 1 comes with it, of 400 rows of version 1's spans, inputs only "
        "(the trainer left no rows.parquet beside the model)"
    )
    document = stage.ledger.baselines.document("model", 1)
    assert (document["rows"], document["prediction"]) == (400, None)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        pytest.param("rows/train.parquet", "of 600 rows that the trainer reported", id="under the candidates"),
        pytest.param("/etc/passwd", "lies outside the configured `candidates`", id="elsewhere"),
        pytest.param("../rows.parquet", "without `.`, `..` or `//`", id="above"),
        pytest.param("link.parquet", "where a link leads", id="where a link leads"),
        pytest.param("rows/none.parquet", "inputs only (", id="not there"),
        pytest.param(7, "inputs only (", id="no text"),
    ],
)
def test_rows_that_the_trainer_reports_are_looked_for_under_the_candidates_only(
    stage: Stage, uri: object, said: str
) -> None:
    training_rows(stage)
    rows = stage.folder / "candidates" / "rows"
    rows.mkdir()
    (stage.candidate / "rows.parquet").rename(rows / "train.parquet")
    (stage.folder / "candidates" / "link.parquet").symlink_to(stage.config)
    stage.retrain = replace(stage.retrain, candidate={**stage.retrain.candidate, "statistics": {"uri": uri}})
    stage.begin()
    assert said in stage.rollout.promote(stage.retrain).reason


def test_a_promotion_without_a_baseline_where_settings_say_so(stage: Stage) -> None:
    stage.begin()
    rollout = stage.made(adopt_baseline=False)
    assert rollout.promote(stage.retrain).reason == "version 2 serves instead of 1; the baseline stays"
    assert stage.ledger.baselines.all_of("model") == []


def test_without_a_canary_nobody_is_told_and_only_the_baseline_comes(stage: Stage) -> None:
    training_rows(stage)
    rollout = stage.made(canary=None)
    found = rollout.promote(stage.retrain)
    assert found.reason.startswith(
        "version 2 may be served: nobody is told, since there is no `retrain.canary`; baseline 1"
    )
    assert rollout.roll_back(stage.retrain).reason == "nothing had been changed"
    with pytest.raises(InputError, match=r"has no `retrain\.canary` any more"):
        rollout.begin(stage.retrain)


def test_a_beginning_that_was_cut_short_goes_on_and_remembers_how_it_was_before(stage: Stage) -> None:
    before = stage.config.read_text()
    stage.server.loading = 60
    with pytest.raises(TransientError, match="version 2 is available"):
        stage.rollout.begin(stage.retrain)
    assert stage.config.read_text() != before
    stage.rollout = stage.made()  # another process takes over
    stage.begin()
    stage.begin()
    assert stage.rollout.roll_back(stage.retrain).reason == "version 1 serves as before"
    assert stage.rollout.roll_back(stage.retrain).reason == "version 1 serves as before"
    assert stage.config.read_text() == before


def test_a_candidate_that_does_not_come_up_is_bad_in_the_end(stage: Stage) -> None:
    stage.server.loading = 10_000
    with pytest.raises(TransientError):
        stage.rollout.begin(stage.retrain)
    stage.clock.advance(300)
    found = stage.rollout.begin(stage.retrain)
    assert (found.verdict, found.reason.startswith("it does not serve after 5m 20s: ")) == (BAD, True)


@pytest.mark.parametrize(
    ("candidate", "details", "said"),
    [
        pytest.param({"uri": "run", "version": "v2"}, {}, "'v2' is no version", id="a version that is no number"),
        pytest.param({"uri": "run"}, {}, "the candidate has no version", id="no version"),
        pytest.param({"uri": "other", "version": "2"}, {}, "is not there", id="a folder that is gone"),
        pytest.param(
            {"uri": "/etc", "version": "2"}, {}, "outside the configured `candidates`", id="a folder elsewhere"
        ),
        pytest.param(
            {"uri": "run", "version": "2"},
            {"gate": {"candidate": {"digest": "0" * 64}}},
            "have changed since the gate has seen them",
            id="files that the gate has not seen",
        ),
    ],
)
def test_what_can_never_serve_is_bad_at_once(
    stage: Stage, candidate: dict[str, Any], details: dict[str, Any], said: str
) -> None:
    before = stage.config.read_text()
    stage.retrain = replace(stage.retrain, candidate=candidate, details=details)
    found = stage.rollout.begin(stage.retrain)
    assert (found.verdict, said in found.reason) == (BAD, True), found.reason
    stage.rollout.roll_back(stage.retrain)
    assert stage.config.read_text() == before


def test_a_step_of_a_monitor_that_stops_changes_nothing_more(stage: Stage) -> None:
    stage.begin()
    before = stage.config.read_text()
    stage.rollout.stopping.set()
    for step in (stage.rollout.promote, stage.rollout.roll_back):
        with pytest.raises(TransientError, match="the monitor is stopping"):
            step(stage.retrain)
    assert stage.config.read_text() == before


def test_a_step_that_outlives_its_lease_does_not_undo_a_roll_back(stage: Stage) -> None:
    before = stage.config.read_text()
    stage.server.loading = 10_000
    other = stage.made()

    def rolled_back_meanwhile(seconds: float) -> None:
        rollout.pause = stage.clock.advance
        found = {ROLLING_BACK: {"at": rfc3339(NOON), "reason": "asked"}}
        now = stage.ledger.retrains.change(stage.retrain, Event.DEFER, "ada", "rolling it back", NOON, found=found)
        stage.server.loading = 0
        other.roll_back(now)

    rollout = stage.rollout
    rollout.pause = rolled_back_meanwhile
    with pytest.raises(TransientError, match="retrain r1 has moved on meanwhile"):
        rollout.begin(stage.retrain)
    assert stage.config.read_text() == before
    assert sorted(path.name for path in stage.base.iterdir()) == ["1"]


def test_signs_of_life_do_not_stop_a_step(stage: Stage) -> None:
    stage.ledger.retrains.note(stage.retrain, NOON, found={"heard_at": rfc3339(NOON)})
    stage.begin()
