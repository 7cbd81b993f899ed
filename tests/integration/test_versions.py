"""`driftline versions` as a user calls it: canaries, shadows, and models that are run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.integration.conftest import Driftline

START = 1_767_225_600
"""2026-01-01T00:00:00Z."""


def traffic(noise: float, hours: int = 48, hourly: int = 200, share: float = 0.25) -> pa.Table:
    """Return labelled rows of versions 41 and 42; noise makes the latter's scores worse."""
    random = np.random.default_rng(1)
    n = hours * hourly
    logits = random.normal(-1, 1, n)
    candidate = random.random(n) < share
    scores = logits + np.where(candidate, noise, 0.2) * random.normal(size=n)
    return pa.table({
        "request": [f"r{row}" for row in range(n)],
        "time": START + np.repeat(np.arange(hours) * 3600, hourly) + random.integers(0, 3600, n),
        "version": np.where(candidate, "42", "41"),
        "score": 1 / (1 + np.exp(-scores)),
        "label": (random.random(n) < 1 / (1 + np.exp(-logits))).astype(int),
        "country": random.choice(["de", "fr"], n),
    })  # fmt: skip


COLUMNS = ("--label-column", "label", "--prediction-column", "score", "--id-column", "request")
VERSIONS = ("--version-column", "version", "--stable-version", "41", "--candidate-version", "42")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pq.write_table(traffic(2.0), tmp_path / "worse.parquet")
    pq.write_table(traffic(0.2), tmp_path / "same.parquet")
    pq.write_table(traffic(0.2, hours=1, hourly=60), tmp_path / "few.parquet")
    table = traffic(0.2)
    quantised = np.round(table.column("score").to_numpy() * 255) / 255
    pq.write_table(table.set_column(3, "score", pa.array(quantised)), tmp_path / "quantised.parquet")
    return tmp_path


@pytest.mark.parametrize(
    ("data", "options", "code", "verdict"),
    [
        pytest.param("worse", (), 3, "worse", id="a worse canary"),
        pytest.param("same", ("--margin", "0.1"), 0, "equivalent", id="an equal one, with a margin"),
        pytest.param("same", (), 4, "no_difference_yet", id="an equal one, without a margin"),
        pytest.param("few", ("--margin", "0.1"), 4, "no_difference_yet", id="too few rows"),
    ],
)
def test_a_canary_is(
    folder: Path, driftline: Driftline, data: str, options: tuple[str, ...], code: int, verdict: str
) -> None:
    files = ("--data", folder / f"{data}.parquet", *VERSIONS, *COLUMNS, "--timestamp-column", "time")
    ran = driftline("versions", *files, *options, "--format", "json")
    assert ran.code == code
    document = json.loads(ran.stdout)
    assert (document["schema_version"], document["verdict"], document["paired"]) == (1, verdict, False)
    (deciding,) = [metric for metric in document["metrics"] if metric["decides"]]
    assert (deciding["metric"], deciding["verdict"]) == ("log_loss", verdict)
    if verdict == "worse":
        assert deciding["interval"][0] > 0
        assert deciding["decided_at"] < "2026-01-02T12:00:00Z"


def test_a_canary_is_shown_as_a_table(folder: Path, driftline: Driftline) -> None:
    files = ("--data", folder / "worse.parquet", *VERSIONS, *COLUMNS, "--timestamp-column", "time")
    ran = driftline("versions", *files, "--output", folder / "report.txt")
    shown = (folder / "report.txt").read_text(encoding="utf-8")
    assert (ran.code, ran.stdout) == (3, "")
    assert shown.startswith(" WORSE   the candidate is worse than the stable version")
    assert "the interval lies above zero, since 2026-01-0" in shown
    assert "auc" in shown


def test_a_shadow_keeps_to_a_tolerance_or_not(folder: Path, driftline: Driftline) -> None:
    files = ("--stable", folder / "same.parquet", "--candidate", folder / "quantised.parquet", "--paired")
    ran = driftline("versions", *files, *COLUMNS, "--tolerance", "0.01", "--slice", "country", "--format", "json")
    document = json.loads(ran.stdout)
    assert (ran.code, document["verdict"], document["agreement"]["rows"]) == (0, "within_tolerance", 9_600)
    assert {each["slice"] for each in document["slices"]} == {"country=de", "country=fr"}
    assert document["mcnemar"]["p_value"] > 0.05
    ran = driftline("versions", *files, *COLUMNS, "--tolerance", "0.0001", "--slice", "country")
    assert ran.code == 3
    assert "BEYOND TOLERANCE" in ran.stdout
    assert "country=fr" in ran.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--stable", "x"), "Say where the two versions' answers are, in one way: --stable, --candidate; or --data"),
        (("--stable", "x", "--candidate", "y", "--tolerance", "1"), "--tolerance needs answers of both versions"),
        (("--stable", "x", "--candidate", "y"), "x: there is no such file or folder"),
    ],
    ids=["half of the options", "a tolerance of different requests", "no such file"],
)
def test_bad_usage_is_one_line(driftline: Driftline, options: tuple[str, ...], said: str) -> None:
    ran = driftline("versions", *options)
    assert ran.code == 2
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel of two inputs and three classes, and the same as TF Lite in floats and in whole numbers of 8 bits."""
    tf: Any = pytest.importorskip("tensorflow")
    folder = tmp_path_factory.mktemp("models")
    weights = tf.constant(np.random.default_rng(0).normal(size=(4, 3)), tf.float32)
    inputs = [tf.TensorSpec([None, 4], tf.float32, name="v"), tf.TensorSpec([None, 1], tf.float32, name="s")]
    module = tf.Module()
    module.serve = tf.function(lambda v, s: {"p": tf.nn.softmax(v @ weights + s)}, input_signature=inputs)
    tf.saved_model.save(module, str(folder / "saved"), signatures={"serving_default": module.serve})
    if not hasattr(tf, "lite"):
        pytest.skip("this TensorFlow converts no models to TF Lite")
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved"))
    (folder / "float.tflite").write_bytes(converter.convert())
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved"))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = _representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    (folder / "int8.tflite").write_bytes(converter.convert())
    table = pa.table({"v": list(_values(200, 4)), "s": _values(200, 1)[:, 0], "label": np.arange(200) % 3})
    pq.write_table(table, folder / "rows.parquet")
    return folder


def _values(n: int, width: int) -> Any:
    return np.random.default_rng(n).normal(size=(n, width)).astype(np.float32)


def _representative() -> Any:
    return ({"v": row[None, :4], "s": row[None, 4:]} for row in _values(100, 5))


def test_tf_lite_is_compared_with_the_model_that_it_was_made_of(models: Path, driftline: Driftline) -> None:
    def compare(candidate: str, tolerance: float) -> tuple[int, dict[str, Any]]:
        named = ("--stable-model", models / "saved", "--candidate-model", models / candidate)
        options = ("--label-column", "label", "--tolerance", tolerance, "--format", "json")
        ran = driftline("versions", "--data", models / "rows.parquet", *named, *options)
        return ran.code, json.loads(ran.stdout)

    code, document = compare("float.tflite", 1e-5)
    assert (code, document["verdict"], document["problem"]) == (0, "within_tolerance", "multiclass")
    code, document = compare("int8.tflite", 1e-5)
    assert (code, document["verdict"]) == (3, "beyond_tolerance")
    assert 0.0 < document["agreement"]["largest_difference"] < 0.1
    assert document["agreement"]["changed_decisions_share"] < 0.1


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(lambda _: ("none", "rows"), "not a SavedModel that can be loaded", id="no such model"),
        pytest.param(lambda _: ("broken.tflite", "rows"), "not a TF Lite model that can be loaded", id="no TF Lite"),
        pytest.param(lambda _: ("float.tflite", "other"), "the model asks for the feature", id="no such feature"),
        pytest.param(lambda _: ("float.tflite", "narrow"), "asks for 4 numbers a row in 'v'", id="lists too short"),
    ],
)
def test_a_model_that_cannot_be_asked_is_one_line(
    models: Path, driftline: Driftline, make: Callable[[Path], tuple[str, str]], said: str
) -> None:
    model, rows = make(models)
    (models / "broken.tflite").write_bytes(b"no flatbuffer at all, though long enough to be looked at" * 10)
    pq.write_table(pa.table({"x": [1.0]}), models / "other.parquet")
    pq.write_table(pa.table({"v": [[1.0]], "s": [1.0]}), models / "narrow.parquet")
    named = ("--stable-model", models / model, "--candidate-model", models / model)
    ran = driftline("versions", "--data", models / f"{rows}.parquet", *named)
    assert ran.code == 2
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr


def test_published_models_of_tf_serving_answer_the_same(
    shared_data: Path, tmp_path: Path, driftline: Driftline
) -> None:
    served = shared_data / "tf_serving"
    saved = served / "saved_model_half_plus_two_tf2_cpu" / "00000123"
    lite = served / "saved_model_half_plus_two_tflite" / "00000123" / "model.tflite"
    for model in (saved, lite):
        if not model.exists():
            pytest.skip(f"no model in {model}")
    pq.write_table(pa.table({"x": [1.0, 2.0, 7.5], "y": [2.5, 3.0, 5.75]}), tmp_path / "rows.parquet")
    # Both were exported for one row at a time.
    named = ("--stable-model", saved, "--candidate-model", lite, "--label-column", "y", "--tolerance", "1e-6")
    ran = driftline("versions", "--data", tmp_path / "rows.parquet", *named, "--format", "json")
    document = json.loads(ran.stdout)
    assert (ran.code, document["problem"], document["agreement"]["largest_difference"]) == (0, "regression", 0.0)
    assert [(metric["stable"], metric["candidate"]) for metric in document["metrics"]] == [(0.0, 0.0)] * 3
