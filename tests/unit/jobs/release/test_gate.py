"""What a candidate must show, and on which rows; the process that runs it is stood in for by arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from monitor.act.retrain import Retrain
from monitor.act.steps import Found, GateVerdict
from monitor.clock import ManualClock
from monitor.errors import TransientError
from monitor.evaluate.examples import Floats
from monitor.jobs.release.gate import CandidateGate
from monitor.outside.candidates.running import Job, Ran
from monitor.store.ledger import Ledger
from tests.ledgers import HOUR, NOON
from tests.unit.jobs.gate_world import ROWS, retrain, served, settings
from tests.unit.jobs.label_world import World

Model = Callable[[Floats], Floats]

EQUAL: Model = lambda number: number  # noqa: E731
BETTER: Model = lambda number: np.where(number > 0.5, 0.9, 0.1)  # noqa: E731
WORSE: Model = lambda number: 1.0 - number  # noqa: E731


@dataclass
class Arithmetic:
    """Runs a candidate in this process: a function of the feature `number`."""

    model: Model = EQUAL
    latency: dict[str, float] = field(default_factory=lambda: {"candidate": 0.001})
    asked: list[Job] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)

    def __call__(self, job: Job, features: pa.Table) -> Ran:
        self.asked.append(job)
        self.columns = features.column_names
        if "number" not in features.column_names:
            return Ran(None, "it does not answer: the model asks for the feature 'number'", lacking=True)
        answers = self.model(np.asarray(features.column("number").to_numpy(), np.float64))
        return Ran(answers, confined=True, latency_seconds=self.latency)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", "default")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world that nothing changes any more, since a gate only looks."""
    opened = Ledger.open(f"sqlite:///{tmp_path_factory.mktemp('world')}/ledger.db", "default")
    made = World(opened)
    served(made)
    yield made
    opened.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "candidates" / "model" / "2"
    place.mkdir(parents=True)
    (place / "saved_model.pb").write_bytes(b"graph")
    return tmp_path


def judged(world: World, folder: Path, run: Arithmetic, asked: Retrain | None = None, **gate: Any) -> Found:
    made = CandidateGate(world.ledger, world.storage, settings(folder, **gate), ManualClock(NOON + 6 * HOUR), run)
    return made.judge(asked or retrain("model/2"))


@pytest.mark.parametrize(
    ("model", "gate", "verdict", "said"),
    [
        pytest.param(BETTER, {}, "passed", "better than the present version: log_loss is", id="a better one passes"),
        pytest.param(EQUAL, {}, "passed", "no worse than the present version", id="an equal one passes"),
        pytest.param(WORSE, {}, "rejected", "worse than the present version: log_loss is", id="a worse one does not"),
        pytest.param(
            EQUAL,
            {"require_improvement": True},
            "rejected",
            "no better than",
            id="an equal one must improve where asked",
        ),
        pytest.param(BETTER, {"require_improvement": True}, "passed", "better than", id="and a better one does"),
        pytest.param(WORSE, {"metrics": ["auc"]}, "rejected", "auc is", id="a worse one by a metric that was chosen"),
        pytest.param(BETTER, {"metrics": ["auc", "brier"]}, "passed", "brier is", id="or by several"),
        pytest.param(
            lambda number: number * 0.99,
            {"margin": 0.05},
            "passed",
            "no worse than",
            id="slightly worse within a margin",
        ),
        pytest.param(EQUAL, {"metrics": ["rmse"]}, "rejected", "there is no metric 'rmse'", id="a metric of nobody's"),
        pytest.param(
            lambda number: np.where(number > 0.999, np.nan, number),
            {},
            "rejected",
            "answers of the candidate are not finite numbers",
            id="a few answers that are no numbers",
        ),
        pytest.param(
            lambda number: np.stack([1 - number, number], axis=1),
            {},
            "rejected",
            "answers with 2 numbers a row, and the present version with one number",
            id="answers of another shape",
        ),
        pytest.param(
            lambda number: np.stack([1 - number, number], axis=1),
            {"output_class": 1},
            "passed",
            "no worse",
            id="of which the right one is chosen",
        ),
        pytest.param(
            lambda number: np.stack([1 - number, number], axis=1),
            {"output_class": 2},
            "rejected",
            "class 2 is asked for",
            id="of which there is none such",
        ),
    ],
)
def test_a_candidate_is_judged_beside_what_was_served(
    model: Model, gate: dict[str, Any], verdict: str, said: str, world: World, folder: Path
) -> None:
    found = judged(world, folder, Arithmetic(model), **gate)
    assert found.verdict == verdict, found
    assert said in found.reason
    assert found.details["rows"]["version"] == "1"
    assert found.details["rows"]["labelled"] == ROWS
    assert found.details["candidate"]["place"] == "model/2"


def test_the_record_has_the_numbers_and_the_interval(world: World, folder: Path) -> None:
    found = judged(world, folder, Arithmetic(BETTER))
    (metric,) = found.details["comparison"]["metrics"]
    assert (metric["metric"], metric["verdict"]) == ("log_loss", "better")
    assert metric["candidate"] < metric["present"]
    assert metric["interval"][0] < metric["difference"] < metric["interval"][1] < 0
    assert found.details["rows"] | {"labelled": 0} == {
        "version": "1", "windows": 5, "since": "2026-03-01T06:00:00Z", "until": "2026-03-01T11:00:00Z", "labelled": 0,
        "trained_until": None, "unseen": None, "used": "all",
    }  # fmt: skip


def test_the_candidate_sees_neither_labels_nor_what_was_served(world: World, folder: Path) -> None:
    run = Arithmetic()
    assert judged(world, folder, run).verdict == GateVerdict.PASSED
    assert run.columns == ["number"]


def test_the_newest_rows_are_taken_where_there_are_more(world: World, folder: Path) -> None:
    found = judged(world, folder, Arithmetic(), max_rows=1_000)
    assert found.details["rows"]["labelled"] == 1_000
    assert found.details["rows"]["since"] == "2026-03-01T07:00:00Z"


def test_rows_older_than_was_asked_for_are_left_out(world: World, folder: Path) -> None:
    assert judged(world, folder, Arithmetic(), labelled="2h").details["rows"]["labelled"] == 600


@pytest.mark.parametrize(
    ("until", "statistics", "gate", "used", "unseen"),
    [
        pytest.param(None, {}, {}, "all", None, id="nothing says what it was trained on: all"),
        pytest.param(-2.0, {}, {}, "unseen", 300, id="enough rows are newer than the request: these"),
        pytest.param(-1.5, {}, {}, "all", 150, id="too few are: all"),
        pytest.param(
            0.0, {"trained_until": "2026-03-01T10:00:00+00:00"}, {}, "unseen", 300, id="the trainer held some out"
        ),
        pytest.param(0.0, {"trained_until": "soon"}, {}, "all", 0, id="the trainer says nothing of use"),
        pytest.param(-1.5, {}, {"min_labels": 100}, "unseen", 150, id="so many are enough"),
    ],
)
def test_rows_that_the_candidate_cannot_have_seen_are_preferred(
    until: float | None, statistics: dict[str, Any], gate: dict[str, Any], used: str, unseen: int | None,
    world: World, folder: Path,
) -> None:  # fmt: skip
    asked = retrain("model/2", until=until, **statistics)
    found = judged(world, folder, Arithmetic(), asked, **gate)
    assert found.verdict == GateVerdict.PASSED
    assert (found.details["rows"]["used"], found.details["rows"]["unseen"]) == (used, unseen)


@pytest.mark.parametrize(
    ("until", "said"), [(-1.5, "150 labelled rows are newer"), (None, "it is not known which rows")]
)
def test_rows_that_it_cannot_have_seen_may_be_required(
    until: float | None, said: str, world: World, folder: Path
) -> None:
    found = judged(world, folder, Arithmetic(BETTER), retrain("model/2", until=until), unseen="require")
    assert (found.verdict, found.reason.startswith(said)) == (GateVerdict.REJECTED, True)


@pytest.mark.parametrize(
    ("labelled", "gate", "said"),
    [
        pytest.param(True, {"min_labels": 2_000}, "1,500 labelled rows of version 1; 2,000 are needed", id="too few"),
        pytest.param(False, {}, "has both a prediction and a label", id="none"),
    ],
)
def test_too_few_labels_are_never_a_pass(
    labelled: bool, gate: dict[str, Any], said: str, ledger: Ledger, folder: Path
) -> None:
    world, run = World(ledger), Arithmetic(BETTER)
    served(world, labelled=labelled)
    found = judged(world, folder, run, **gate)
    assert found.verdict == GateVerdict.REJECTED
    assert "too few labels to judge it by" in found.reason
    assert said in found.reason
    assert not run.asked


@pytest.mark.parametrize(
    ("statistics", "verdict", "said"),
    [
        ({"blessing": "BLESSED"}, "passed", "blessed by the trainer's own evaluation"),
        ({"blessing": "NOT_BLESSED"}, "rejected", "does not say BLESSED"),
        ({"blessing": True}, "rejected", "does not say BLESSED"),
        ({}, "rejected", "does not say BLESSED"),
    ],
)
def test_the_trainers_word_counts_without_labels_where_settings_say_so(
    statistics: dict[str, Any], verdict: str, said: str, ledger: Ledger, folder: Path
) -> None:
    world, run = World(ledger), Arithmetic()
    served(world, labelled=False)
    found = judged(world, folder, run, retrain("model/2", **statistics), trust_trainer=True)
    assert (found.verdict, said in found.reason) == (verdict, True), found
    assert run.asked, "it is smoke-tested all the same"


def test_the_trainers_word_counts_for_nothing_against_labels(world: World, folder: Path) -> None:
    found = judged(world, folder, Arithmetic(WORSE), retrain("model/2", blessing="BLESSED"), trust_trainer=True)
    assert found.verdict == GateVerdict.REJECTED


def test_a_feature_that_is_stored_hashed_only_is_not_given_to_the_candidate(world: World, folder: Path) -> None:
    made = settings(folder)
    model = made.models["model"].model_copy(
        update={"privacy": made.models["model"].privacy.model_copy(update={"hash": ["number"]})}
    )
    hashed = made.model_copy(update={"models": {"model": model}})
    gate = CandidateGate(world.ledger, world.storage, hashed, ManualClock(NOON + 6 * HOUR), Arithmetic())
    found = gate.judge(retrain("model/2"))
    assert found.verdict == GateVerdict.REJECTED
    assert "asks for the feature 'number'" in found.reason


@pytest.mark.parametrize(
    ("latency", "verdict"),
    [
        ({"candidate": 0.0021, "present": 0.001}, "rejected"),
        ({"candidate": 0.0019, "present": 0.001}, "passed"),
        ({"candidate": 9.0}, "passed"),
    ],
)
def test_a_candidate_must_not_be_slower_than_allowed(
    latency: dict[str, float], verdict: str, world: World, folder: Path
) -> None:
    found = judged(world, folder, Arithmetic(EQUAL, latency))
    assert found.verdict == verdict, found
    if verdict == "rejected":
        assert "it takes 2.1 times as long as the present model" in found.reason


def test_the_present_model_is_found_where_settings_say(world: World, folder: Path) -> None:
    present = folder / "models" / "1"
    present.mkdir(parents=True)
    (present / "saved_model.pb").write_bytes(b"graph")
    run = Arithmetic()
    judged(world, folder, run, present=f"file:{folder}/models/{{version}}")
    assert run.asked[0].present == present


def test_a_version_that_was_in_the_traffic_leads_nowhere_else(ledger: Ledger, folder: Path) -> None:
    world, run = World(ledger), Arithmetic()
    served(world, version="../models")
    (folder / "models").mkdir()
    (folder / "models" / "saved_model.pb").write_bytes(b"graph")
    judged(world, folder, run, present=f"{folder}/candidates/{{version}}")
    assert run.asked[0].present is None


@pytest.mark.parametrize(
    ("uri", "version", "said"),
    [
        ("../secrets", "2", "without `.`, `..`"),
        ("model/3", "2", "is not there"),
        ("model/2", "../2", "has no version"),
        ("http://example.org/model", "2", "lies outside"),
    ],
)
def test_a_candidate_that_cannot_be_found_is_rejected(
    uri: str, version: str, said: str, world: World, folder: Path
) -> None:
    run = Arithmetic()
    found = judged(world, folder, run, retrain(uri, version=version))
    assert (found.verdict, said in found.reason, run.asked) == (GateVerdict.REJECTED, True, []), found


def test_a_place_of_candidates_that_is_away_is_tried_again(world: World, tmp_path: Path) -> None:
    with pytest.raises(TransientError):
        judged(world, tmp_path / "gone", Arithmetic())


def test_rows_of_the_candidates_own_version_do_not_count(world: World, folder: Path) -> None:
    found = judged(world, folder, Arithmetic(), retrain("model/2", version="1"))
    assert found.reason == "too few labels to judge it by: no window has all its labels yet"


EVAL_CONFIG = """
slicing_specs {}
metrics_specs {
  metrics { class_name: "ExampleCount" }
  metrics { class_name: "AUC" %s }
}
"""
AT_LEAST = "threshold { value_threshold { lower_bound { value: %s } } }"
NO_FALL = "threshold { change_threshold { direction: HIGHER_IS_BETTER absolute { value: %s } } }"


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("threshold", "model", "verdict", "said"),
    [
        pytest.param("", BETTER, "passed", "better than the present version", id="no thresholds: by comparison"),
        pytest.param("", WORSE, "rejected", "worse than the present version", id="no thresholds, and worse"),
        pytest.param(AT_LEAST % 0.6, BETTER, "passed", "1 thresholds are met; better", id="it meets a threshold"),
        pytest.param(AT_LEAST % 0.99, BETTER, "rejected", "not blessed: auc is", id="it misses a threshold"),
        pytest.param(AT_LEAST % 0.05, WORSE, "rejected", "worse than", id="it meets a low one, and is worse"),
        pytest.param(NO_FALL % -0.02, EQUAL, "passed", "1 thresholds are met", id="it changes as little as is allowed"),
        pytest.param(
            NO_FALL % 0.02, EQUAL, "rejected", "not blessed: auc changes by 0", id="it must improve, and does not"
        ),
        pytest.param(
            NO_FALL % -1.0, WORSE, "passed", "1 thresholds are met", id="a threshold on changes decides alone"
        ),
    ],
)
def test_thresholds_of_the_eval_config_must_be_met(
    threshold: str, model: Model, verdict: str, said: str, world: World, folder: Path
) -> None:
    (folder / "eval.pbtxt").write_text(EVAL_CONFIG % threshold)
    found = judged(world, folder, Arithmetic(model), evaluation={"eval_config": str(folder / "eval.pbtxt")})
    assert (found.verdict, said in found.reason) == (verdict, True), found
    metrics = found.details["evaluation"]["metrics"]
    assert metrics["example_count (candidate)"] == ROWS
    assert {"auc (candidate)", "auc (baseline)", "auc (change)"} <= set(metrics)


@pytest.mark.timeout(180)
def test_an_eval_config_that_is_wrong_is_said_in_one_line(world: World, folder: Path) -> None:
    (folder / "eval.pbtxt").write_text('metrics_specs { metrics { class_name: "Auk" } }')
    found = judged(world, folder, Arithmetic(), evaluation={"eval_config": str(folder / "eval.pbtxt")})
    assert found.verdict == GateVerdict.REJECTED
    assert "there is no metric 'Auk'" in found.reason
