"""`driftline evaluate` as its users run it: TFMA reads what it writes and would have said the same, in every format of rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from monitor.jobs.evaluating_files import framed

Driftline = Callable[..., Any]

ROWS = 600
AUC = 'metrics { class_name: "AUC" %s }'
AT_LEAST = "threshold { value_threshold { lower_bound { value: %s } } }"
NO_WORSE = "threshold { change_threshold { absolute { value: -0.01 } direction: HIGHER_IS_BETTER } }"
SLICED = 'slicing_specs {} slicing_specs { feature_keys: "c" }'
BINARY = f"""
model_specs {{ label_key: "label" prediction_key: "prediction" example_weight_key: "w" }}
{SLICED}
slicing_specs {{ feature_keys: "c" feature_values {{ key: "n" value: "2" }} }}
metrics_specs {{
  {AUC % (AT_LEAST % 0.82)}
  metrics {{ class_name: "Precision" config: '"thresholds": [0.4]' }}
  metrics {{ class_name: "MeanLabel" }}
  metrics {{ class_name: "ExampleCount" }}
  metrics {{ class_name: "CalibrationPlot" config: '"num_buckets": 5' }}
}}
"""
CLASSES = """
metrics_specs { metrics { class_name: "SparseCategoricalAccuracy" threshold { value_threshold { lower_bound { value: 0.5 } } } } }
metrics_specs { binarize { class_ids { values: 0 values: 2 } } metrics { class_name: "Recall" } }
"""


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    """Rows of a model of two classes and of an older one that is worse, with columns to slice by."""
    rng = np.random.default_rng(5)
    scores = rng.random(ROWS)
    older = np.clip(scores + rng.normal(0, 0.3, ROWS), 0, 1)
    return pa.table(
        {
            "request_id": [f"r{n}" for n in range(ROWS)],
            "label": (rng.random(ROWS) < scores).astype(np.float64),
            "prediction": scores,
            "older": older,
            "w": rng.random(ROWS),
            "c": rng.choice(["a", "b", "c"], ROWS, p=[0.6, 0.38, 0.02]),
            "n": rng.integers(1, 4, ROWS),
        }
    )


@pytest.fixture
def data(rows: pa.Table, tmp_path: Path) -> Path:
    parquet.write_table(rows, tmp_path / "d.parquet")
    return tmp_path / "d.parquet"


@pytest.fixture
def evaluate(driftline: Driftline, tmp_path: Path, data: Path) -> Callable[..., Any]:
    """Run `driftline evaluate` on the rows above, or on others, by the text of an EvalConfig."""

    def run(config: str, *arguments: object, rows: object = data, name: str = "e.pbtxt") -> Any:
        (tmp_path / name).write_text(config)
        given = ("--data", rows, "--eval-config", tmp_path / name, "--output", tmp_path / "out")
        return driftline("evaluate", *given, *arguments)

    return run


def loaded(tmp_path: Path, **options: Any) -> Any:
    import tensorflow_model_analysis as tfma

    return tfma.load_eval_result(str(tmp_path / "out"), **options)


def validation(folder: Path) -> Any:
    import tensorflow_model_analysis as tfma

    return tfma.load_validation_result(str(folder))


@pytest.mark.slow
def test_tfma_would_have_written_the_same(evaluate: Callable[..., Any], rows: pa.Table, tmp_path: Path) -> None:
    import tensorflow_model_analysis as tfma
    from google.protobuf import text_format
    from tensorflow_model_analysis.proto import config_pb2

    assert evaluate(BINARY).code == 3
    theirs = tmp_path / "theirs"
    config = text_format.Parse(BINARY, config_pb2.EvalConfig())
    wanted = tfma.analyze_raw_data(rows.to_pandas(), config, output_path=str(theirs))
    ours = loaded(tmp_path)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {path.name for path in theirs.iterdir()} | {
        "driftline.json"
    }
    by_slice = dict(ours.slicing_metrics)
    assert by_slice.keys() == dict(wanted.slicing_metrics).keys()
    for key, metrics in wanted.slicing_metrics:
        assert_close(by_slice[key], metrics)
    plots = dict(ours.plots)
    for key, plot in wanted.plots:
        assert_close(plots[key], plot)
    wanted.config.metrics_specs[0].model_names.append("")  # TFMA's default, with which it evaluates
    assert ours.config == wanted.config
    one, other = validation(tmp_path / "out"), validation(theirs)
    assert (one.validation_ok, one.missing_thresholds, one.rubber_stamp) == (False, False, False)
    assert _failures(one) == pytest.approx(_failures(other))
    assert not other.validation_ok


def _failures(result: Any) -> dict[str, float]:
    return {
        str(each.slice_key) + failure.metric_key.name: failure.metric_value.double_value.value
        for each in result.metric_validations_per_slice
        for failure in each.failures
    }


def assert_close(one: Any, other: Any) -> None:
    """Compare what TFMA's loaders return, number by number."""
    if isinstance(other, dict):
        assert one.keys() == other.keys()
        for key in other:
            assert_close(one[key], other[key])
    elif isinstance(other, list):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            assert_close(left, right)
    elif isinstance(other, float):
        assert one == pytest.approx(other, rel=1e-6, abs=1e-6)
    else:
        assert one == other


def test_a_kept_threshold_blesses(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    ran = evaluate(f"metrics_specs {{ {AUC % (AT_LEAST % 0.7)} }}")
    assert ran.code == 0, ran.stderr
    assert ran.stdout.startswith(" BLESSED ")
    assert validation(tmp_path / "out").validation_ok
    assert json.loads((tmp_path / "out" / "driftline.json").read_text())["blessing"] == "BLESSED"
    assert loaded(tmp_path).get_metrics_for_slice()["auc"]["doubleValue"] == pytest.approx(0.83, abs=0.05)


def test_a_missed_threshold_does_not_and_the_reason_is_told(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    ran = evaluate(f"{SLICED} metrics_specs {{ {AUC % (AT_LEAST % 0.99)} }}")
    assert ran.code == 3
    assert "auc is 0.8" in ran.stdout
    assert "wanted is at least 0.99" in ran.stdout
    assert not validation(tmp_path / "out").validation_ok
    document = json.loads((tmp_path / "out" / "driftline.json").read_text())
    assert (document["blessing"], document["verdict"]) == ("NOT_BLESSED", "flagged")
    assert document["slices"][0] == {"slice": {}, "examples": ROWS}
    assert {each["slice"].get("c") for each in document["slices"][1:]} == {"a", "b", "c"}


@pytest.mark.parametrize(
    "config",
    [
        f"metrics_specs {{ {AUC % ''} }}",
        f"metrics_specs {{ {AUC % NO_WORSE} }}",
        f'model_specs {{ name: "n" }} model_specs {{ name: "o" is_baseline: true }} metrics_specs {{ {AUC % NO_WORSE} }}',
    ],
    ids=[
        "no thresholds",
        "a threshold on changes without a baseline",
        "a baseline that is read from the candidate's own column",
    ],
)
def test_where_nothing_can_be_compared_there_is_a_rubber_stamp(
    evaluate: Callable[..., Any], tmp_path: Path, config: str
) -> None:
    ran = evaluate(config)
    assert ran.code == 0
    assert ran.stdout.startswith(" RUBBER STAMPED ")
    result = validation(tmp_path / "out")
    assert (result.validation_ok, result.rubber_stamp) == (True, True)


def test_too_few_labels_are_no_verdict(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    config = f"metrics_specs {{ {AUC % (AT_LEAST % 0.7)} }}"
    ran = evaluate(config, "--min-labels", ROWS + 1)
    assert ran.code == 4
    assert "600 labelled examples; at least 601 are needed to judge" in ran.stdout
    assert not validation(tmp_path / "out").validation_ok
    assert evaluate(config, "--min-labels", ROWS).code == 0


def test_both_models_may_be_columns_of_the_same_rows(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    models = 'model_specs { name: "new" } model_specs { name: "old" prediction_key: "older" is_baseline: true }'
    ran = evaluate(f"{models} {SLICED} metrics_specs {{ {AUC % NO_WORSE} }}")
    assert ran.code == 0, ran.stdout
    new, old = (loaded(tmp_path, model_name=name).get_metrics_for_slice() for name in ("new", "old"))
    assert new["auc_diff"]["doubleValue"] == new["auc"]["doubleValue"] - old["auc"]["doubleValue"] > 0


@pytest.mark.parametrize("paired", [False, True], ids=["as they are", "of the requests that both have"])
def test_the_baseline_may_have_rows_of_its_own(
    evaluate: Callable[..., Any], rows: pa.Table, tmp_path: Path, paired: bool
) -> None:
    theirs = rows.take(pa.array(np.random.default_rng(1).permutation(ROWS)[:400]))
    theirs = theirs.drop(["prediction"]).rename_columns(["request_id", "label", "prediction", "w", "c", "n"])
    csv.write_csv(theirs, tmp_path / "b.csv")
    arguments = ("--baseline-data", tmp_path / "b.csv", *(("--id-column", "request_id") if paired else ()))
    ran = evaluate(f"metrics_specs {{ {AUC % NO_WORSE} }}", *arguments, "--format", "json")
    assert ran.code == 0, ran.stderr
    document = json.loads(ran.stdout)
    assert document["data"]["labelled"] == (400 if paired else ROWS)
    assert document["data"]["unpaired"] == (200 if paired else 0)
    assert document["baseline_data"]["labelled"] == 400
    overall = {(each["model"], each["diff"]): each["value"] for each in document["slices"][0]["metrics"]}
    assert overall["candidate", True] == overall["candidate", False] - overall["baseline", False]
    assert overall["baseline", False] == pytest.approx(_auc(theirs), abs=1e-3)
    names = {
        name: loaded(tmp_path, model_name=name).get_metrics_for_slice()["auc"] for name in ("candidate", "baseline")
    }
    assert names["baseline"]["doubleValue"] == overall["baseline", False]


def _auc(table: pa.Table) -> float:
    """The share of pairs of a positive and a negative that are in order, by ranks."""
    from scipy.stats import rankdata

    labels, ranks = table["label"].to_numpy() > 0, rankdata(table["prediction"].to_numpy())
    positives, negatives = labels.sum(), (~labels).sum()
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * negatives))


@pytest.fixture(scope="module")
def classes() -> pa.Table:
    rng = np.random.default_rng(6)
    scores = rng.dirichlet([1, 1, 1], 200).astype(np.float32)
    labels = np.where(rng.random(200) < 0.7, scores.argmax(axis=1), rng.integers(0, 3, 200))
    return pa.table({"label": labels, "prediction": scores.astype(np.float64).tolist()})


def test_rows_of_lists_say_the_same_in_every_format(
    evaluate: Callable[..., Any], classes: pa.Table, tmp_path: Path
) -> None:
    rows = classes.to_pylist()
    parquet.write_table(classes, tmp_path / "l.parquet")
    (tmp_path / "l.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    texts = pa.array([json.dumps(row["prediction"]) for row in rows])
    csv.write_csv(classes.set_column(1, "prediction", texts), tmp_path / "l.csv")
    (tmp_path / "l.tfrecord").write_bytes(framed(_example(**row) for row in rows))
    found = {}
    for ending in ("parquet", "jsonl", "csv", "tfrecord"):
        ran = evaluate(CLASSES, "--format", "json", rows=tmp_path / f"l.{ending}")
        assert ran.code == 0, (ending, ran.stderr)
        metrics = json.loads(ran.stdout)["slices"][0]["metrics"]
        found[ending] = {(each["name"], each["class_id"]): each["value"] for each in metrics}
    right = np.mean([np.argmax(row["prediction"]) == row["label"] for row in rows])
    assert found["parquet"]["sparse_categorical_accuracy", None] == pytest.approx(right)
    for other in found.values():
        assert other == pytest.approx(found["parquet"])


def _example(label: int, prediction: list[float]) -> bytes:
    import tensorflow as tf

    features = {
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
        "prediction": tf.train.Feature(float_list=tf.train.FloatList(value=prediction)),
    }
    return bytes(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


def test_outputs_are_evaluated_each_from_its_columns(
    evaluate: Callable[..., Any], rows: pa.Table, tmp_path: Path
) -> None:
    config = f"""
    model_specs {{
      label_keys {{ key: "x" value: "label" }} label_keys {{ key: "y" value: "label" }}
      prediction_keys {{ key: "x" value: "prediction" }} prediction_keys {{ key: "y" value: "older" }}
    }}
    metrics_specs {{ output_names: "x" output_names: "y" {AUC % (AT_LEAST % 0.6)} }}
    """
    assert evaluate(config).code == 0
    x, y = (loaded(tmp_path).get_metrics_for_slice(output_name=name)["auc"]["doubleValue"] for name in ("x", "y"))
    assert x == pytest.approx(_auc(rows), abs=1e-3)
    assert x > y


def test_options_fill_what_the_configuration_leaves_open(evaluate: Callable[..., Any], rows: pa.Table) -> None:
    config = f"metrics_specs {{ {AUC % ''} }}"
    ran = evaluate(
        config, "--label-column", "label", "--prediction-column", "older", "--weight-column", "w", "--format", "json"
    )
    (auc,) = json.loads(ran.stdout)["slices"][0]["metrics"]
    assert auc["weighted"]
    assert auc["value"] == pytest.approx(_auc_weighted(rows), abs=1e-3)


def _auc_weighted(table: pa.Table) -> float:
    """The weighted share of pairs that are in order, pair by pair."""
    labels, scores, weights = (table[name].to_numpy() for name in ("label", "older", "w"))
    positive = labels > 0
    order = np.sign(np.subtract.outer(scores[positive], scores[~positive])) / 2 + 0.5
    pairs = np.outer(weights[positive], weights[~positive])
    return float((order * pairs).sum() / pairs.sum())


def test_yaml_and_json_configurations_work_too(evaluate: Callable[..., Any]) -> None:
    text = "metrics_specs:\n- metrics:\n  - {class_name: AUC, threshold: {value_threshold: {lower_bound: 0.99}}}\n"
    assert evaluate(text, name="e.yaml").code == 3
    written = {
        "metricsSpecs": [{"metrics": [{"className": "AUC", "threshold": {"valueThreshold": {"lowerBound": 0.6}}}]}]
    }
    assert evaluate(json.dumps(written), name="e.json").code == 0


def test_metrics_that_are_not_vectorised_are_computed_by_tfma_and_that_is_told(evaluate: Callable[..., Any]) -> None:
    ran = evaluate(f'metrics_specs {{ {AUC % ""} metrics {{ class_name: "Hinge" }} }}', "--format", "json")
    assert ran.code == 0, ran.stderr
    document = json.loads(ran.stdout)
    assert document["engines"] == {"AUC": "vectorised", "Hinge": "tfma"}
    assert {each["name"] for each in document["slices"][0]["metrics"]} == {"auc", "hinge"}


def test_the_table_shows_models_slices_and_what_was_left_out(
    evaluate: Callable[..., Any], rows: pa.Table, tmp_path: Path
) -> None:
    labels = rows["label"].to_pylist()
    labels[:50] = [None] * 50
    partly = rows.set_column(rows.schema.get_field_index("label"), "label", pa.array(labels))
    parquet.write_table(partly, tmp_path / "p.parquet")
    models = 'model_specs { name: "new" } model_specs { name: "old" prediction_key: "older" is_baseline: true }'
    ran = evaluate(f"{models} {SLICED} metrics_specs {{ {AUC % NO_WORSE} }}", rows=tmp_path / "p.parquet")
    lines = [line.split() for line in ran.stdout.splitlines()]
    assert "600 rows, left out: 50 without a label" in ran.stdout
    assert ["all", "examples", "value", "baseline", "change"] in lines
    assert ["slice", "examples", "auc"] in lines
    assert any(line[:1] == ["c=a"] for line in lines)


AUC_ALONE = f"metrics_specs {{ {AUC % ''} }}"


@pytest.mark.parametrize(
    ("config", "arguments", "error"),
    [
        ('metrics_specs { metrics { class_name: "AUCC" } }', (), "there is no metric 'AUCC'; did you mean 'AUC'?"),
        ("metrics_specs {", (), 'not a text proto of an EvalConfig: Expected "}"'),
        (
            f'{AUC_ALONE} slicing_specs {{ feature_keys: "zz" }}',
            (),
            "there is no column 'zz' to slice by (slicing_specs)",
        ),
        (
            f'model_specs {{ label_key: "zz" }} {AUC_ALONE}',
            (),
            "there is no label column 'zz'; the columns are: request_id,",
        ),
        (
            f'model_specs {{ label_key: "c" }} {AUC_ALONE}',
            (),
            "column 'c' cannot be the label: 600 of 600 values are text",
        ),
        (f'model_specs {{ label_key: "n" }} {AUC_ALONE}', (), "is not within [0, 1]"),
        (AUC_ALONE, ("--id-column", "zz"), "there is no column 'zz' for the id"),
        (AUC_ALONE, ("--ignore", "zz"), "there is no column 'zz' to ignore"),
        (AUC_ALONE, ("--baseline-data", "none.csv"), "none.csv: there is no such file or folder"),
        (
            'metrics_specs { metrics { class_name: "SymmetricPredictionDifference" } }',
            ("--baseline-data", "{data}"),
            "SymmetricPredictionDifference compares two predictions of one example",
        ),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    evaluate: Callable[..., Any], tmp_path: Path, data: Path, config: str, arguments: tuple[str, ...], error: str
) -> None:
    ran = evaluate(config, *(argument.format(data=data) for argument in arguments))
    assert ran.code == 2
    assert error in ran.stderr
    assert ran.stderr.startswith("driftline: ")
    assert (ran.stdout, len(ran.stderr.splitlines())) == ("", 1)
    assert not (tmp_path / "out").exists()


def test_an_earlier_result_goes_and_what_else_is_in_the_folder_stays(
    evaluate: Callable[..., Any], tmp_path: Path
) -> None:
    assert evaluate(AUC_ALONE).code == 0
    folder = tmp_path / "out"
    (folder / "metrics-00001-of-00002.tfrecord").write_bytes(b"of an earlier run")
    (folder / "mine.txt").write_text("x")
    assert evaluate(AUC_ALONE).code == 0
    assert sorted(path.name for path in folder.iterdir()) == [
        "attributions-00000-of-00001.tfrecord",
        "driftline.json",
        "eval_config.json",
        "metrics-00000-of-00001.tfrecord",
        "mine.txt",
        "plots-00000-of-00001.tfrecord",
        "validations.tfrecord",
    ]
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_folder_that_tfma_would_misread_is_refused(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "metrics_backup.tfrecord").write_bytes(b"")
    ran = evaluate(AUC_ALONE)
    assert ran.code == 2
    assert "TFMA would read metrics_backup.tfrecord there as a part of the result" in ran.stderr


@pytest.mark.parametrize(
    "table",
    [pa.table({"label": pa.array([], pa.float64())}), pa.table({"label": pa.nulls(3), "prediction": [0.1] * 3})],
)
def test_no_rows_and_no_labels_are_too_few(evaluate: Callable[..., Any], tmp_path: Path, table: pa.Table) -> None:
    parquet.write_table(table, tmp_path / "none.parquet")
    ran = evaluate(f"metrics_specs {{ {AUC % (AT_LEAST % 0.5)} }}", rows=tmp_path / "none.parquet")
    assert ran.code == 4, ran.stderr
    assert not validation(tmp_path / "out").validation_ok
    assert loaded(tmp_path).slicing_metrics == []
