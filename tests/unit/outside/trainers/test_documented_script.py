"""The trainer that docs/trainers.md shows, run as it stands there on spans as collectors write them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pyarrow as pa
import yaml
from pyarrow import parquet

from monitor.act.steps import Progress
from monitor.config.trainers import TrainerSettings
from monitor.records import FeatureType, ValueType, label_schema, traffic_schema
from tests.ledgers import HOUR, NOON
from tests.trainers.worlds import REQUEST, a_retrain, ended, made

PAGE = (Path(__file__).parents[4] / "docs" / "trainers.md").read_text(encoding="utf-8")
MY_TRAINING = """
import pathlib

def train(rows, folder):
    pathlib.Path(folder).mkdir(parents=True)
    pathlib.Path(folder, "saved_model.pb").write_text(f"{rows['feature.distance'].sum()} {rows['label'].sum()}")
    return {"auc": 0.75}
"""


def _rows(schema: pa.Schema, path: Path, ids: str, **columns: object) -> dict[str, str]:
    count = len(ids)
    given = {
        "request_id": list(ids),
        "instance": [0] * count,
        "hash": list(range(count)),
        "stratum": [""] * count,
        "weight": [1.0] * count,
        "event_time": [NOON + place * HOUR for place in range(count)],
        **columns,
    }
    made_of = [pa.array(given.get(field.name, [None] * count), field.type) for field in schema]
    parquet.write_table(pa.table(made_of, schema=schema), path)
    return {"uri": path.as_uri()}


def test_the_script_of_the_page_trains_on_the_newest_labels(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0])
    (tmp_path / "my_training.py").write_text(MY_TRAINING)
    traffic = traffic_schema({"distance": FeatureType(ValueType.FLOAT)})
    spans = [
        {"kind": "traffic"}
        | _rows(traffic, tmp_path / "50% of.parquet", "abc", **{"feature.distance": [1.0, 2.0, 4.0]}),
        {"kind": "labels"} | _rows(label_schema(), tmp_path / "labels.parquet", "aca", label=[9.0, 0.0, 1.0]),
    ]
    candidate = tmp_path / "candidates" / "a1b2c3"
    request = REQUEST | {"data": {"spans": spans}, "expected": {"candidate_uri": candidate.as_uri(), "version": "42"}}
    settings = {"type": "command", "command": [sys.executable, "train.py"], "folder": str(tmp_path)}
    trainer = made(TrainerSettings.model_validate(settings), tmp_path)
    retrain = a_retrain(request=request)
    trainer.submit(retrain)
    report = ended(trainer, retrain)
    run = tmp_path / "trainings" / "a1b2c3"
    assert report.progress is Progress.COMPLETED, (run / "output.log").read_text()
    assert report.candidate == {"uri": candidate.as_uri(), "version": "42", "statistics": {"auc": 0.75}}
    assert (candidate / "saved_model.pb").read_text() == "5.0 1.0"
    files = re.search(r"\$ ls trainings/a1b2c3\n(.*)\n", PAGE)
    assert files is not None
    assert sorted(each.name for each in run.iterdir()) == files[1].split()
    assert (run / "output.log").read_text().startswith("training on 2 rows\n")


def test_every_example_of_the_page_is_a_trainer() -> None:
    blocks = [each for each in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if "trainer:" in each]
    documents = [document for block in blocks for document in yaml.safe_load_all(block)]
    trainers = [
        each["trainer"] if "trainer" in each else each["models"]["flights"]["retrain"]["trainer"] for each in documents
    ]
    kinds = [TrainerSettings.model_validate(each) for each in trainers]
    assert [each.type for each in kinds] == ["command", "http", "http", "http", "http", "http", "http", "kafka"]
