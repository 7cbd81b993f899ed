"""TensorFlow Serving as far as its model config and its status go: it polls its file whenever its status is asked."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monitor.outside.tf_serving.messages import model_server_config


@dataclass(frozen=True)
class Said:
    status: int
    content: Any = None

    def json(self) -> Any:
        return json.loads(json.dumps(self.content))


@dataclass
class FakeServing:
    """Serves the model `flights` of a config file.

    Attributes:
        broken: versions that cannot be loaded.
        loading: looks that loading a version takes.
        history: the versions that were available, whenever that changed.
        refused: labels that were asked for while their version was not loaded.
        down: how many answers are errors.
    """

    config: Path
    polls: bool = True
    broken: set[int] = field(default_factory=set)
    loading: int = 0
    history: list[list[int]] = field(default_factory=list)
    refused: list[tuple[str, int]] = field(default_factory=list)
    down: int = 0
    _labels: dict[str, int] = field(default_factory=dict)
    _waits: dict[int, int] = field(default_factory=dict)
    _seen: set[int] = field(default_factory=set)
    _told: Any = None

    def __post_init__(self) -> None:
        self.reload(self.config.read_text())
        self._look()

    def reload(self, text: str) -> None:
        (self._told,) = [one for one in model_server_config(text).model_config_list.config if one.name == "flights"]

    def send(self, method: str, url: str, *, timeout_seconds: float) -> Said:
        assert (method, timeout_seconds > 0) == ("GET", True)
        if self.down:
            self.down -= 1
            return Said(503)
        if self.polls:
            self.reload(self.config.read_text())
        self._look()
        path = url.removeprefix("http://serving:8501/v1/models/flights")
        if path.startswith("/labels/"):
            version = self._labels.get(path.removeprefix("/labels/"))
            return Said(200, self._page([version])) if version in self.available else Said(404, {"error": "no label"})
        return Said(200, self._page(sorted(self._seen, reverse=True))) if not path else Said(404)

    @property
    def available(self) -> list[int]:
        return self.history[-1] if self.history else []

    def _look(self) -> None:
        base = Path(self._told.base_path)
        there = sorted(int(path.name) for path in base.iterdir() if path.name.isdigit())
        policy = self._told.model_version_policy
        wanted = there[-1:]
        if policy.HasField("specific"):
            wanted = [version for version in there if version in policy.specific.versions]
        self._seen |= set(wanted)
        loaded = []
        for version in wanted:
            waited = self._waits.setdefault(version, 0)
            self._waits[version] += 1
            if version in self.available or (version not in self.broken and waited >= self.loading):
                loaded.append(version)
        if loaded != self.available:
            self.history.append(loaded)
        for label in self._told.version_labels:
            if label.value in loaded:
                self._labels[label.key] = label.value
            else:
                self.refused.append((label.key, label.value))
        names = {label.key for label in self._told.version_labels}
        self._labels = {name: version for name, version in self._labels.items() if name in names}

    def _page(self, versions: list[Any]) -> dict[str, Any]:
        return {"model_version_status": [self._status(version) for version in versions]}

    def _status(self, version: int) -> dict[str, Any]:
        fine = {"error_code": "OK", "error_message": ""}
        if version in self.available:
            return {"version": str(version), "state": "AVAILABLE", "status": fine}
        if version in self.broken:
            error = {"error_code": "INTERNAL", "error_message": "the graph has\nno op Foo"}
            return {"version": str(version), "state": "END", "status": error}
        waits = self._waits.get(version, 0) <= self.loading
        return {"version": str(version), "state": "LOADING" if waits else "END", "status": fine}
