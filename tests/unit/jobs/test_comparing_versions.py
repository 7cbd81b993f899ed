"""Two versions compared from files: how rows are read, told apart, joined, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from monitor.errors import InputError
from monitor.evaluate.examples import Floats
from monitor.evaluate.versions.asked import Asked
from monitor.evaluate.versions.deciding import Verdict
from monitor.evaluate.versions.losses import Problem
from monitor.evaluate.versions.result import Comparison
from monitor.jobs.comparing_versions import (
    Reading,
    compare_columns,
    compare_models,
    compare_paired,
    compare_unpaired,
    tables_of_files,
    tables_of_versions,
)
from monitor.jobs.version_rows import Columns

READING = Reading(Columns(label="label", prediction="score", id="id"), Asked)


def rows(n: int = 400, seed: int = 0, **more: Any) -> pa.Table:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, n)
    scores = np.clip(0.2 + 0.6 * labels + 0.2 * random.normal(size=n), 0, 1)
    return pa.table({"id": [f"r{row}" for row in range(n)], "label": labels, "score": scores, **more})


def paired(one: pa.Table, two: pa.Table, reading: Reading = READING, **columns: str) -> Comparison:
    return compare_paired(one, two, replace(reading, columns=replace(reading.columns, **columns)))


def test_files_of_any_format_are_read_with_the_columns_that_have_a_role(tmp_path: Path) -> None:
    pq.write_table(rows(seed=1, extra=["not read"] * 400), tmp_path / "stable.parquet")
    csv.write_csv(rows(seed=2), tmp_path / "candidate.csv")
    tables = tables_of_files(str(tmp_path / "stable.parquet"), str(tmp_path / "candidate.csv"), READING)
    assert [table.column_names for table in tables] == [["label", "score", "id"]] * 2
    assert compare_unpaired(*tables, READING).verdict is Verdict.UNDECIDED


def test_versions_are_told_apart_by_a_column_of_any_type(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(rows(version=[41] * 300 + [42] * 90 + [None] * 10), path)
    tables = tables_of_versions(str(path), "version", "41", "42", READING)
    assert [table.num_rows for table in tables] == [300, 90]
    with pytest.raises(InputError, match="column 'version' has no version '43'; it has: 41, 42"):
        tables_of_versions(str(path), "version", "41", "43", READING)


def test_rows_of_one_request_count_once_and_hours_are_those_of_the_times() -> None:
    times = [f"2026-01-01T{row // 100:02}:30:00Z" for row in range(400)]
    table = rows(id=[f"r{row // 4}" for row in range(400)], time=times)
    reading = replace(READING, columns=replace(READING.columns, timestamp="time"))
    found = compare_unpaired(table, table, reading)
    assert found.seen[0].requests == 100
    assert found.metrics[0].requests == (100, 100)


def test_rows_are_joined_by_id_in_whatever_order_they_stand() -> None:
    one = rows()
    two = one.take(pa.array(np.random.default_rng(3).permutation(400)))
    found = paired(one, two)
    assert found.agreement is not None
    assert (found.agreement.rows, found.agreement.largest, found.warnings) == (400, 0.0, [])


def test_what_cannot_be_joined_is_told() -> None:
    found = paired(rows(5, id=["a", "b", "c", "c", None]), rows(4, id=["b", "a", "c", "x"]))
    assert found.agreement is not None
    assert found.agreement.rows == 2
    assert found.warnings == [
        "1 requests were not answered by the stable version, and are left out",
        "1 requests have several rows and are left out: --instance-column tells them apart",
        "1 rows have no id and are left out",
    ]


def test_instances_of_a_request_are_joined_by_their_numbers() -> None:
    ids = pa.array(["a", "a", "b"])
    one = pa.table({"id": ids, "instance": [0, 1, 0], "score": [0.1, 0.2, 0.3]})
    two = pa.table({"id": ids, "instance": [1, 0, 0], "score": [0.2, 0.1, 0.9]})
    found = paired(one, two, Reading(Columns(prediction="score", id="id", instance="instance"), Asked))
    assert found.agreement is not None
    assert [(each.name, each.stable, each.candidate) for each in found.agreement.examples] == [("b#0", 0.3, 0.9)]
    assert found.seen[0].requests == 2


def test_two_columns_are_compared_row_by_row_and_by_slice(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    lite = rows().column("score").to_numpy().copy()
    lite[5] = 0.5
    pq.write_table(rows(lite=lite, country=["de", "fr"] * 200, visits=pa.array([1, None] * 200)), path)
    reading = Reading(Columns(label="label"), Asked, slices=(("country",), ("visits",)))
    found = compare_columns(str(path), "score", "lite", reading)
    assert found.agreement is not None
    assert [each.name for each in found.agreement.examples] == [6]
    assert list(found.slices) == ["country=fr", "country=de", "visits=1"]
    assert found.mcnemar is not None
    assert found.mcnemar.only_candidate_wrong + found.mcnemar.only_stable_wrong <= 1


@pytest.mark.parametrize(
    ("predictions", "labels", "problem", "metrics"),
    [
        pytest.param(
            [[0.2, 0.8], [0.6, 0.4]] * 60, [1, 0] * 60, Problem.MULTICLASS, ["log_loss", "error"], id="scores"
        ),
        pytest.param(["cat", "dog"] * 60, ["cat", "cat"] * 60, Problem.CLASSES, ["error"], id="names"),
        pytest.param(
            [3.5, 20.0] * 60,
            [3.0, 25.0] * 60,
            Problem.REGRESSION,
            ["absolute_error", "squared_error", "rmse"],
            id="numbers",
        ),
    ],
)
def test_each_kind_of_problem_has_its_metrics(
    predictions: Sequence[Any], labels: Sequence[Any], problem: Problem, metrics: list[str]
) -> None:
    table = pa.table({"id": range(120), "score": predictions, "label": labels})
    found = compare_unpaired(table, table, READING)
    assert found.asked.problem is problem
    assert [metric.name for metric in found.metrics] == metrics
    assert paired(table, table).agreement is not None


def _model(offset: float) -> Any:
    def ask(features: pa.Table) -> Floats:
        assert features.column_names == ["x"]
        return np.asarray(features.column("x").to_numpy() * 2 + offset, np.float64)

    return ask


def test_models_are_asked_for_the_rows_without_the_columns_that_have_a_role(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    csv.write_csv(pa.table({"x": np.arange(100.0), "y": np.arange(100.0) * 2, "id": np.arange(100)}), path)
    reading = Reading(Columns(label="y", id="id"), Asked)
    found = compare_models(str(path), _model(0.0), _model(0.25), reading)
    assert found.agreement is not None
    assert found.agreement.largest == 0.25
    assert found.verdict is Verdict.WORSE


@pytest.mark.parametrize(
    ("table", "columns", "said"),
    [
        pytest.param({}, {"label": None}, "compared by --label-column and --prediction-column", id="no label named"),
        pytest.param({"label": [0, 5]}, {}, "cannot be", id="scores of classes and numbers"),
        pytest.param({"label": ["no", "yes"]}, {}, "the labels are texts such as 'no'", id="labels that are texts"),
        pytest.param(
            {"weight": [1.0, 0.0]}, {"weight": "weight"}, "1 of 2 rows have no weight above zero", id="weights"
        ),
        pytest.param({"time": ["x", "y"]}, {"timestamp": "time"}, "have no readable time in column 'time'", id="times"),
    ],
)
def test_what_cannot_be_compared_is_said(table: dict[str, Any], columns: dict[str, Any], said: str) -> None:
    one = pa.table({"id": ["a", "b"], "label": [0, 1], "score": [0.2, 0.7], **table})
    two = one
    if table.get("label") == [0, 5]:
        two = pa.table({"id": ["a", "b"], "label": [0, 1], "score": [[0.2, 0.8], [0.5, 0.5]]})
    reading = replace(READING, columns=replace(READING.columns, **columns))
    with pytest.raises(InputError, match=said):
        compare_unpaired(one, two, reading)


@pytest.mark.parametrize(
    ("name", "reading", "said"),
    [
        ("empty", READING, "there are no rows"),
        (
            "rows",
            Reading(Columns(prediction="p"), Asked),
            "there is no prediction column 'p'; the columns are: id, label",
        ),
        ("rows", replace(READING, slices=(("z",),)), "there is no column 'z'; the columns are"),
    ],
    ids=["no rows", "no such prediction", "no such slice"],
)
def test_files_that_cannot_be_compared_are_named(tmp_path: Path, name: str, reading: Reading, said: str) -> None:
    pq.write_table(rows(0), tmp_path / "empty.parquet")
    pq.write_table(rows(), tmp_path / "rows.parquet")
    path = str(tmp_path / f"{name}.parquet")
    with pytest.raises(InputError, match=said):
        tables_of_files(path, path, reading)


def test_nothing_in_common_cannot_be_compared() -> None:
    one, two = rows(3), rows(3).set_column(0, "id", pa.array(["x", "y", "z"]))
    with pytest.raises(InputError, match="no row of one version has the id of a row of the other"):
        paired(one, two)
    with pytest.raises(InputError, match="paired by their ids"):
        compare_paired(one, two, Reading(Columns(prediction="score"), Asked))
