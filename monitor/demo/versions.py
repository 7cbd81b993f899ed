"""The versions of a model that the demo's server has loaded: the latest one, or what a model config says.

Changes with how TensorFlow Serving finds, loads, unloads and labels versions.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from typing_extensions import override

from monitor.demo.rest import Array, Call, InvalidArgument, Signature
from monitor.errors import InputError
from monitor.outside.tf_serving.messages import model_server_config

_LOOK_SECONDS = 0.2
_POLL_SECONDS = 1.0
_MAX_MESSAGE = 300


class Servable(Protocol):
    """A loaded model."""

    version: str
    default: str
    signatures: dict[str, Signature]
    metadata: dict[str, object]

    def run(self, calls: list[Call]) -> list[dict[str, Array] | InvalidArgument]:
        """Return the outputs of each call, or what was wrong with it."""
        ...


@dataclass(frozen=True, slots=True)
class Loaded:
    """A version as TensorFlow Serving's status tells it; `model` is there while it is AVAILABLE."""

    state: str
    model: Servable | None = None
    code: str = "OK"
    message: str = ""

    def to_json(self, version: int) -> dict[str, object]:
        """Return the entry of `model_version_status`."""
        status = {"error_code": self.code, "error_message": self.message}
        return {"version": str(version), "state": self.state, "status": status}


class Versions(Protocol):
    """The versions of one model."""

    @property
    def known(self) -> Mapping[int, Loaded]:
        """All versions that there are or were."""
        ...

    @property
    def labels(self) -> Mapping[str, int]:
        """Available versions by label."""
        ...

    def look(self) -> float | None:
        """Look for changes, and return after how many seconds to look again; None for never."""
        ...

    def close(self) -> None:
        """Load nothing more."""
        ...


@dataclass
class LatestVersion(Versions):
    """The version that `load` finds, once it does."""

    load: Callable[[], Servable | None]
    _found: Servable | None = None

    @property
    @override
    def known(self) -> Mapping[int, Loaded]:
        """The one, once it is there."""
        return {} if self._found is None else {int(self._found.version): Loaded("AVAILABLE", self._found)}

    @property
    @override
    def labels(self) -> Mapping[str, int]:
        """None."""
        return {}

    @override
    def look(self) -> float | None:
        """Look until it is there."""
        self._found = self._found or self.load()
        return _LOOK_SECONDS if self._found is None else None

    @override
    def close(self) -> None:
        """Nothing is going on."""


@dataclass
class ConfiguredVersions(Versions):
    """The versions that a `--model_config_file` names, which is read again every second; loaded on a thread of their own.

    Attributes:
        config: the file; as long as it is not there or cannot be read, all stays as it is.
        name: of the model.
        load: loads the SavedModel in a folder.
        poll_seconds: time between two looks.
    """

    config: Path
    name: str
    load: Callable[[Path], Servable]
    poll_seconds: float = _POLL_SECONDS
    _known: dict[int, Loaded] = field(default_factory=dict)
    _labels: dict[str, int] = field(default_factory=dict)
    _loading: dict[int, Future[Servable]] = field(default_factory=dict)
    _said: str = ""

    def __post_init__(self) -> None:
        """Prepare the thread."""
        self._thread = ThreadPoolExecutor(1, "load")

    @property
    @override
    def known(self) -> Mapping[int, Loaded]:
        """All versions that there are or were."""
        return self._known

    @property
    @override
    def labels(self) -> Mapping[str, int]:
        """Available versions by label."""
        return self._labels

    @override
    def look(self) -> float:
        """Take up the config, and what has been loaded since."""
        try:
            entry = self._entry()
        except InputError as error:
            self._say(str(error))
        else:
            self._serve(_wanted(entry), Path(entry.base_path))
            self._label({label.key: label.value for label in entry.version_labels})
        return min(_LOOK_SECONDS, self.poll_seconds) if self._loading else self.poll_seconds

    @override
    def close(self) -> None:
        """Load nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _entry(self) -> Any:
        try:
            text = self.config.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{self.config}: {error}") from error
        for entry in model_server_config(text).model_config_list.config:
            if entry.name == self.name:
                return entry
        raise InputError(f"{self.config}: there is no model {self.name!r}")

    def _serve(self, wanted: set[int], base: Path) -> None:
        for version in sorted(wanted - self._loading.keys()):
            known = self._known.get(version)
            if known is None or (known.state == "END" and known.code == "OK"):
                self._known[version] = Loaded("LOADING")
                self._loading[version] = self._thread.submit(self.load, base / str(version))
        for version, loading in list(self._loading.items()):
            if loading.done():
                del self._loading[version]
                self._known[version] = _loaded(loading)
        for version, known in self._known.items():
            if version not in wanted and version not in self._loading:
                self._known[version] = Loaded("END")
                if known.state != "END":
                    self._say(f"version {version} is unloaded")

    def _label(self, asked: Mapping[str, int]) -> None:
        available = {version for version, one in self._known.items() if one.model is not None}
        for label, version in asked.items():
            if version in available:
                self._labels[label] = version
            else:
                self._say(f"label {label!r}: version {version} is not available, so it stays where it is")
        kept = {label: version for label, version in self._labels.items() if label in asked and version in available}
        self._labels = kept

    def _say(self, what: str) -> None:
        if what != self._said:
            self._said = what
            print(what, file=sys.stderr, flush=True)  # noqa: T201 - its log


def _wanted(entry: Any) -> set[int]:
    """Return the versions that an entry names, of those that lie there."""
    folders = Path(entry.base_path).glob("*")
    there = sorted(int(path.name) for path in folders if path.name.isdigit() and (path / "saved_model.pb").is_file())
    policy = entry.model_version_policy
    if policy.HasField("specific"):
        return set(there) & set(policy.specific.versions)
    return set(there if policy.HasField("all") else there[-(policy.latest.num_versions or 1) :])


def _loaded(loading: Future[Servable]) -> Loaded:
    error = loading.exception()
    if error is None:
        return Loaded("AVAILABLE", loading.result())
    return Loaded("END", code="INTERNAL", message=" ".join(str(error).split())[:_MAX_MESSAGE])
