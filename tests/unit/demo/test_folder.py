from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from monitor.config.settings import Settings
from monitor.demo import folder
from monitor.demo.replay import Topics
from monitor.errors import ConfigError

AT = folder.Addresses("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:4")


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    place = folder.claim(tmp_path / "a" / "b")
    assert place.log("monitor").parent.is_dir()


def test_a_folder_with_somebody_elses_files_is_refused_and_untouched(tmp_path: Path) -> None:
    precious = tmp_path / "train.parquet"
    precious.write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match="--dir"):
        folder.claim(tmp_path)
    assert precious.read_text(encoding="utf-8") == "mine"


def test_an_earlier_run_is_replaced_and_other_files_are_left(tmp_path: Path) -> None:
    first = folder.claim(tmp_path)
    for path in (first.config, first.training_rows, first.root / "driftline.db-wal", first.log("monitor")):
        path.write_text("old", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    folder.claim(tmp_path)
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert left == [".driftline-demo", "notes.txt"]


def test_a_linked_span_folder_is_unlinked_and_not_emptied(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "span").write_text("mine", encoding="utf-8")
    place = folder.claim(tmp_path / "demo")
    (place.root / "spans").symlink_to(elsewhere)
    folder.claim(tmp_path / "demo")
    assert not (place.root / "spans").exists()
    assert (elsewhere / "span").is_file()


def test_a_file_in_the_way_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be used"):
        folder.claim(tmp_path / "demo")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("demo", id="a plain name"),
        pytest.param('a "quoted" name: with # signs', id="a name that is special to YAML"),
    ],
)
def test_the_settings_it_writes_are_valid(tmp_path: Path, name: str) -> None:
    place = folder.claim(tmp_path / name)
    folder.write_settings(place, ["one:9092", "two:9092"], Topics("requests", "labels"), "group", AT)
    settings = Settings.model_validate(yaml.safe_load(place.config.read_text(encoding="utf-8")))
    model = settings.models["flights"]
    assert settings.store == place.store
    assert settings.spans.uri == f"file:{place.root}/spans"
    assert settings.kafka is not None
    assert settings.kafka.bootstrap_servers == ["one:9092", "two:9092"]
    assert model.traffic.format == "prediction_log"
    assert (model.traffic.topic, model.windows.length, model.windows.time) == ("requests", timedelta(days=1), "replay")
    assert model.detection.features["weekday"].ignore
    assert model.labels is not None
    assert model.labels.horizon == folder.LABEL_HORIZON
    assert model.evaluation is not None
    assert place.root / model.evaluation.eval_config == place.eval_config
    assert model.retrain is not None
    assert model.retrain.trainer.command is not None
    assert model.retrain.trainer.command[-1] == str(place.training_rows)
    assert model.retrain.canary is not None
    assert model.retrain.canary.tf_serving is not None
    assert model.retrain.canary.tf_serving.model_config_file == place.model_config
    assert str(place.models) in place.model_config.read_text(encoding="utf-8").replace('\\"', '"')
