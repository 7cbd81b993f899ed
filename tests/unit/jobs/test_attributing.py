from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from monitor.errors import InputError
from monitor.jobs.attributing import Attributing, attributed
from monitor.profile.document import Floats


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for name in ("train", "served"):
        table = pa.table({column: random.normal(size=500) for column in ("a", "b", "unused")})
        pq.write_table(table, tmp_path / f"{name}.parquet")
    pq.write_table(pa.table({"a": pa.array([], pa.float64())}), tmp_path / "empty.parquet")
    return tmp_path


def _model(rows: pa.Table) -> Floats:
    answers: Floats = 3.0 * rows.column("a").to_numpy() - rows.column("b").to_numpy()
    return answers


def _asked(folder: Path, data: str = "served", **more: object) -> Attributing:
    return Attributing(str(folder / f"{data}.parquet"), str(folder / "train.parquet"), **more)  # type: ignore[arg-type]


def test_rows_come_back_with_an_attribution_for_each_feature(folder: Path) -> None:
    found = attributed(_model, _asked(folder, rows=100))
    assert found.num_rows == 100
    size = {name: float(np.abs(found.column(f"attribution.{name}").to_numpy()).mean()) for name in ("a", "b", "unused")}
    assert size["a"] / size["b"] == pytest.approx(3.0, rel=0.2)
    assert size["unused"] == 0.0


def test_only_the_features_that_are_named_get_one_but_the_model_sees_all(folder: Path) -> None:
    found = attributed(_model, _asked(folder, features=["a"], rows=10))
    assert [name for name in found.column_names if name.startswith("attribution.")] == ["attribution.a"]


def test_all_rows_are_taken_where_there_are_no_more(folder: Path) -> None:
    assert attributed(_model, _asked(folder, rows=10_000)).num_rows == 500


@pytest.mark.parametrize(
    ("data", "features", "said"),
    [("empty", (), "there are no rows"), ("served", ("z",), "there is no column 'z'")],
    ids=["no rows", "no such column"],
)
def test_what_cannot_be_explained_is_said(folder: Path, data: str, features: tuple[str, ...], said: str) -> None:
    with pytest.raises(InputError, match=said):
        attributed(_model, _asked(folder, data, features=features))
