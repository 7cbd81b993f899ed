"""The gate with real SavedModels, each loaded in its own confined process: what is good passes, and what is bad is told."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from monitor.act.steps import Found, GateVerdict
from monitor.clock import SystemClock
from monitor.errors import InputError
from monitor.evaluate.model_operations import check_operations
from monitor.jobs.release.gate import CandidateGate
from monitor.outside.candidates.running import Job, Ran, run
from monitor.store.ledger import Ledger
from tests.unit.jobs.gate_world import ROWS, retrain, served, settings
from tests.unit.jobs.label_world import World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FEATURES = pa.table({"number": np.linspace(0.0, 1.0, 3_000), "other": ["a"] * 3_000})


def _greedy(tf: Any, number: Any) -> Any:
    return number + tf.reduce_mean(tf.random.uniform(tf.stack([tf.size(number), 1 << 24])))


def _endless(tf: Any, number: Any) -> Any:
    return (
        tf.while_loop(lambda at: at >= 0.0, lambda at: (tf.abs(tf.math.sin(at)) + 1.0,), (tf.constant(1.0),))[0]
        + number
    )


def _writing(tf: Any, number: Any) -> Any:
    tf.io.write_file("/tmp/written-by-a-candidate", "x")  # noqa: S108 - it never is
    return number


def _reading(tf: Any, number: Any) -> Any:
    return number + tf.cast(tf.strings.length(tf.io.read_file("/proc/self/environ")), tf.float32)


def _printing(tf: Any, number: Any) -> Any:
    tf.print(number, output_stream="file:///tmp/printed-by-a-candidate")
    return number


ANSWERS: dict[str, Callable[[Any, Any], Any]] = {
    "equal": lambda _, number: number,
    "better": lambda tf, number: tf.where(number > 0.5, 0.9, 0.1),
    "worse": lambda _, number: 1.0 - number,
    "nan": lambda tf, number: tf.where(number < 2.0, float("nan"), number),
    "one": lambda tf, number: tf.reduce_mean(number, keepdims=True),
    "greedy": _greedy,
    "endless": _endless,
    "writing": _writing,
    "reading": _reading,
    "printing": _printing,
}


def export(folder: Path, answer: Callable[[Any], Any], kind: str, name: str = "number") -> None:
    """Write a SavedModel that answers with `p`."""
    import tensorflow as tf

    module = tf.Module()
    spec = [tf.TensorSpec([None], kind, name=name)]
    module.serve = tf.function(lambda given: {"p": answer(given)}, input_signature=spec)
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.serve})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`candidates` with a SavedModel of each kind, made by one TensorFlow."""
    tf: Any = pytest.importorskip("tensorflow")
    made = tmp_path_factory.mktemp("gate")
    candidates = made / "candidates"
    for name, answer in ANSWERS.items():
        export(candidates / name, partial(answer, tf), "float32")
    export(candidates / "colour", lambda number: number, "float32", "colour")
    prefix = str(made / "saved-elsewhere")

    def saving(number: Any) -> Any:
        saved = tf.raw_ops.SaveV2(prefix=prefix, tensor_names=["n"], shape_and_slices=[""], tensors=[number])
        with tf.control_dependencies([saved]):
            return tf.identity(number)

    export(candidates / "saving", saving, "float32")
    (candidates / "broken").mkdir()
    (candidates / "broken" / "saved_model.pb").write_bytes(b"no graph")
    shutil.copytree(candidates / "equal", candidates / "gone")
    shutil.rmtree(candidates / "gone" / "variables")
    return made


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    ledger = Ledger.open(f"sqlite:///{tmp_path_factory.mktemp('ledger')}/ledger.db", "default")
    made = World(ledger)
    served(made)
    yield made
    ledger.close()


def judged(world: World, folder: Path, name: str, **gate: Any) -> Found:
    made = CandidateGate(world.ledger, world.storage, settings(folder, **gate), SystemClock())
    return made.judge(retrain(name))


def asked(folder: Path, name: str, seconds: float = 120.0) -> Ran:
    return run(Job(folder / "candidates" / name, None, "serving_default", None, 32, seconds, 3 << 30), FEATURES)


@pytest.mark.parametrize(
    ("name", "verdict", "said"),
    [
        ("better", "passed", "better than the present version: log_loss is"),
        ("worse", "rejected", "worse than the present version: log_loss is"),
    ],
)
def test_a_candidate_is_held_against_what_was_served(
    name: str, verdict: str, said: str, world: World, folder: Path
) -> None:
    found = judged(world, folder, name, present=f"{folder}/candidates/equal")
    assert (found.verdict, said in found.reason) == (verdict, True), found
    assert found.details["rows"]["labelled"] == ROWS
    assert 0.2 < found.details["latency"]["ratio"] < 5.0
    assert found.details["smoke"]["load_seconds"] > 0.0


def test_what_a_model_answers_is_what_is_read(folder: Path) -> None:
    ran = asked(folder, "equal")
    assert ran.answers is not None, ran
    np.testing.assert_array_equal(ran.answers, FEATURES.column("number").to_numpy().astype(np.float32))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        pytest.param("gone", "it cannot be loaded", id="a model without its variables"),
        pytest.param("nan", "32 of the first 32 answers are not finite numbers", id="NaN"),
        pytest.param("one", "does not answer", id="one answer for all rows"),
        pytest.param("greedy", "does not answer: ", id="more memory than it may take"),
        pytest.param("writing", "cannot be loaded: the model has the operation WriteFile", id="writing a file"),
    ],
)
def test_a_candidate_fails_its_smoke_test_with(name: str, said: str, folder: Path) -> None:
    ran = asked(folder, name)
    assert ran.answers is None
    assert said in ran.reason, ran
    assert len(ran.reason.splitlines()) == 1
    assert not ran.lacking


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("writing", "the operation WriteFile"),
        ("reading", "the operation ReadFile"),
        ("printing", "the operation PrintV2"),
        ("broken", "is no SavedModel"),
    ],
)
def test_a_model_that_reaches_for_files_is_refused_before_it_is_loaded(name: str, said: str, folder: Path) -> None:
    with pytest.raises(InputError, match=said):
        check_operations(folder / "candidates" / name)


@pytest.mark.parametrize("name", ["equal", "saving", "greedy"])
def test_operations_that_models_are_made_of_are_not_refused(name: str, folder: Path) -> None:
    check_operations(folder / "candidates" / name)


def test_a_feature_that_the_rows_lack_is_told_apart(folder: Path) -> None:
    ran = asked(folder, "colour")
    assert "asks for the feature 'colour'" in ran.reason
    assert ran.lacking


def test_a_model_that_saves_its_variables_elsewhere_is_kept_from_it(folder: Path) -> None:
    ran = asked(folder, "saving")
    if not ran.confined:
        pytest.skip("this kernel has no Landlock")
    assert ran.answers is None
    assert "ermission denied" in ran.reason, ran
    assert not list(folder.glob("saved-elsewhere*"))


def test_a_candidate_that_never_answers_is_ended(world: World, folder: Path) -> None:
    started = time.monotonic()  # noqa: TID251 - how long it takes is what is shown
    found = judged(world, folder, "endless", timeout="15s")
    assert found.verdict == GateVerdict.REJECTED
    assert found.reason == "the candidate failed its smoke test: it did not answer within 15 seconds"
    assert time.monotonic() - started < 60.0  # noqa: TID251
