"""Making baselines from files."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from monitor.config.settings import ModelSettings
from monitor.jobs.baselines import baseline_from_files
from monitor.jobs.checking import ReferenceFiles
from monitor.records import FeatureType, ValueType
from monitor.window.frames import ColumnRoles


def test_training_rows_get_the_privacy_of_the_model_and_with_it_the_types(tmp_path: Path) -> None:
    table = pa.table({"user": range(100), "age": range(100), "mail": ["a@b"] * 100, "label": [0, 1] * 50})
    pq.write_table(table, tmp_path / "train.parquet")
    settings = ModelSettings.model_validate(
        {
            "traffic": {"topic": "t"},
            "privacy": {"hash": ["user", "label"], "drop": ["mail"], "bucket": {"age": 10}, "key": "k" * 16},
        }
    )
    made = baseline_from_files(ReferenceFiles(str(tmp_path), ColumnRoles(label="label")), settings).baseline
    types = dict(made.column_types)
    assert types["user"] == FeatureType(ValueType.BYTES)
    assert types["age"] == FeatureType(ValueType.INT)
    assert types["label"] == FeatureType(ValueType.INT), "a label is no feature"
    assert "mail" not in types
    assert "a@b" not in json.dumps(made.to_document())
