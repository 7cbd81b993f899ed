"""The folder of a demo run: its files, its settings, and taking it over safely. Changes with what lies where."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from monitor.demo.flights import MODEL, VERSION
from monitor.demo.replay import Topics
from monitor.errors import ConfigError

_MARKER = ".driftline-demo"
_MARKER_TEXT = "Written by `driftline demo`, which may replace the files it wrote beside this one.\n"
_OWN = (
    *("driftline.yaml", "eval_config.pbtxt", "train.parquet", "traffic.parquet", "notifications.jsonl"),
    *("driftline.db", "driftline.db-wal", "driftline.db-shm"),
)
_EVAL_CONFIG = """\
# TFMA's EvalConfig, as any TFX pipeline has it. Columns go by the names that the store gives them.
slicing_specs {}                              # all flights
slicing_specs { feature_keys: "origin" }      # and by airport
metrics_specs {
  metrics { class_name: "ExampleCount" }
  metrics { class_name: "AUC" }
  metrics { class_name: "BinaryAccuracy" }
  metrics { class_name: "BinaryCrossEntropy" }
  metrics { class_name: "MeanLabel" }
  metrics { class_name: "MeanPrediction" }
  metrics { class_name: "Calibration" }
}
"""
_MODEL_CONFIG = """\
model_config_list {{
  config {{
    name: "{model}"
    base_path: {base}
    model_platform: "tensorflow"
    model_version_policy {{ specific {{ versions: {version} }} }}
    version_labels {{ key: "stable" value: {version} }}
  }}
}}
"""
_OWN_FOLDERS = ("models", "spans", "logs", "candidates", "trainings")
LABEL_HORIZON = timedelta(hours=16)
"""A landing is waited for so long after the scheduled departure; of the 200,000 flights of the long run 18 land later."""


@dataclass(frozen=True, slots=True)
class DemoFolder:
    """Where one run keeps its files; paths are absolute in `root` and as the user wrote them in `shown`."""

    root: Path
    shown: Path

    @property
    def config(self) -> Path:
        """The settings file."""
        return self.root / "driftline.yaml"

    @property
    def eval_config(self) -> Path:
        """TFMA's EvalConfig: how the quality of the model is measured."""
        return self.root / "eval_config.pbtxt"

    @property
    def model(self) -> Path:
        """The SavedModel, in the layout of TF Serving: base path, then version."""
        return self.root / "models" / MODEL / VERSION

    @property
    def models(self) -> Path:
        """The base path of the model: the folder of its versions."""
        return self.model.parent

    @property
    def model_config(self) -> Path:
        """TensorFlow Serving's model config: which versions are served, and under which labels."""
        return self.root / "models" / "models.config"

    @property
    def training_rows(self) -> Path:
        """What the model was trained on, with its predictions."""
        return self.root / "train.parquet"

    @property
    def traffic_rows(self) -> Path:
        """What was replayed, as a table."""
        return self.root / "traffic.parquet"

    @property
    def notifications(self) -> Path:
        """What the receiver of notifications was sent, a line a message."""
        return self.root / "notifications.jsonl"

    @property
    def store(self) -> str:
        """SQLAlchemy URL of the ledger."""
        return f"sqlite:///{self.root / 'driftline.db'}"

    def log(self, name: str) -> Path:
        """Return the log file of one process."""
        return self.root / "logs" / f"{name}.log"


def claim(directory: Path) -> DemoFolder:
    """Take `directory` for this run: make it, or remove what an earlier run wrote into it, and nothing else.

    Raises:
        ConfigError: it holds files and no mark of an earlier run, or cannot be written.
    """
    root = directory.resolve()
    marker = root / _MARKER
    try:
        root.mkdir(parents=True, exist_ok=True)
        if not marker.is_file() and any(root.iterdir()):
            raise ConfigError(f"{directory} is not empty and no earlier demo wrote it: name another folder with --dir")
        for name in _OWN:
            (root / name).unlink(missing_ok=True)
        for name in _OWN_FOLDERS:
            _remove_folder(root / name)
        marker.write_text(_MARKER_TEXT, encoding="utf-8")
        (root / "logs").mkdir()
    except OSError as exc:
        raise ConfigError(f"the folder {directory} cannot be used: {exc.strerror or exc}") from exc
    return DemoFolder(root, directory)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the processes of a run listen, as host:port."""

    model: str
    proxy: str
    proxy_metrics: str
    receiver: str


def write_settings(
    folder: DemoFolder, bootstrap_servers: Sequence[str], topics: Topics, group: str, at: Addresses
) -> None:
    """Write driftline.yaml, the EvalConfig and the model server's config: what a user would write, with the reasons."""
    folder.eval_config.write_text(_EVAL_CONFIG, encoding="utf-8")
    folder.models.mkdir(parents=True, exist_ok=True)
    folder.model_config.write_text(
        _MODEL_CONFIG.format(model=MODEL, base=json.dumps(str(folder.models)), version=VERSION), encoding="utf-8"
    )
    hours = LABEL_HORIZON // timedelta(hours=1)
    trainer = [sys.executable, "-m", "monitor.demo.trainer", "--first", str(folder.training_rows)]
    folder.config.write_text(
        f"""\
# Written by `driftline demo`: a complete configuration that you can change and run again.
store: {json.dumps(folder.store)}
spans: {{uri: {json.dumps(f"file:{folder.root / 'spans'}")}}}
kafka: {{bootstrap_servers: {json.dumps(list(bootstrap_servers))}, group_id: {json.dumps(group)}}}
models:
  {MODEL}:
    traffic: {{topic: {json.dumps(topics.traffic)}, format: prediction_log}}     # as `driftline proxy` writes them
    labels: {{topic: {json.dumps(topics.labels)}, horizon: {hours}h}}     # a later landing says no more
    windows:
      length: 1d
      allowed_lateness: 6h
      idle_timeout: 30s
      time: replay      # event time alone closes windows: the flights are of 2013
    detection:
      features:
        # A window of one day holds one weekday, two with the time zone: it differs from two months by construction.
        weekday: {{ignore: true}}
    evaluation: {{eval_config: eval_config.pbtxt}}      # TFMA's; quality is estimated until the labels are in
    retrain:
      trainer: {{type: command, command: {json.dumps(trainer)}}}
      data: 30d                     # it gets the spans of the last month, and the labels that have come for them
      cooldown: 1m
      headroom: {{gpus: here, on_unknown: proceed}}       # without a GPU it trains on the processor
      gate:                         # what a candidate must show before it answers anybody
        metrics: [log_loss]
        present: {json.dumps(str(folder.models / "{version}"))}
        max_latency_ratio: 5
      canary:                       # then it answers three requests in ten, for a day of flights
        tf_serving: {{model_config_file: {json.dumps(str(folder.model_config))}, rest: "http://{at.model}"}}
        watch_for: 1d
        min_rows: 200
        give_up_after: 4d
      confirm_within: 2m            # by the wall clock: a day of 2013 passes in a moment here
alerts:
  - alert: QualityLost
    expr: {{quality: 'measure="binary_crossentropy", slice=""'}}
    for: 2                          # days in a row
    keep_firing_for: 3              # a weekend with few delays is no recovery
    severity: critical
    annotations: {{summary: "{{{{ model }}}}: predictions are worse than usual"}}
policies:
  - {{name: retrain, match: alertname="QualityLost", action: retrain, cooldown: 1m}}
gpus: {{here: {{source: nvml}}}}
receivers: {{webhook: {{type: webhook, url: "http://{at.receiver}/"}}}}
candidates: {json.dumps(f"file:{folder.root / 'candidates'}")}
# Any free port: both run on one machine here.
collector: {{cut_interval: 500ms, listen: "127.0.0.1:0"}}
monitor: {{tick: 500ms, listen: "127.0.0.1:0"}}
""",
        encoding="utf-8",
    )


def _remove_folder(path: Path) -> None:
    # A link could point outside: remove the link, never what it points to.
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
