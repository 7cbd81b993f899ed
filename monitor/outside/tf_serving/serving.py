"""A TensorFlow Serving whose model config says which versions serve; changes with how versions come and go there.

TensorFlow Serving refuses a label of a version that is not loaded, and takes any new version where its policy is `latest`. So the
versions are pinned first, then the candidate's files are put in place, and when it is AVAILABLE it gets the label.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from typing_extensions import override

from monitor.clock import Clock, Deadline
from monitor.config.canary import TfServingSettings
from monitor.errors import InputError, TransientError
from monitor.outside.serving import EnsureAllowed, Folder, Plan, Serving, always_allowed
from monitor.outside.tf_serving.config_file import ConfigFile
from monitor.outside.tf_serving.model_config import Entry, changed, entry_of, restored, text_of
from monitor.outside.tf_serving.placing import lies_there, place, take_away
from monitor.outside.tf_serving.reload import reload_config
from monitor.outside.tf_serving.status import Client, StatusPage

LEFT_OUT = frozenset({"rows.parquet"})
"""What a trainer may put beside a model that is not for serving: the rows that it was trained on."""
PATIENCE_SECONDS = 10.0
"""How long one call waits for what it has asked for; a later one goes on with that."""
_LOOK_SECONDS = 0.2
_MOST = 2**63


@dataclass(frozen=True)
class TfServing(Serving):
    """One model of one TensorFlow Serving.

    Attributes:
        model: its name there.
        pause: waits so many seconds between two looks.
    """

    settings: TfServingSettings
    model: str
    client: Client
    clock: Clock
    pause: Callable[[float], object] = field(default_factory=lambda: threading.Event().wait)
    ensure_allowed: EnsureAllowed = always_allowed

    @override
    def plan(self, candidate: str) -> Plan:
        """Return what is to change; a version is a number here."""
        if not (candidate.isascii() and candidate.isdigit() and 0 < int(candidate) < _MOST):
            raise InputError(f"{candidate!r} is no version of TensorFlow Serving's: these are numbers from 1")
        version, text = int(candidate), self._file.read()
        entry = entry_of(text, self.model)
        stable = entry.labels.get(self.settings.stable_label) or self._served(entry)
        other = entry.labels.get(self.settings.canary_label, stable)
        if version == stable:
            raise InputError(f"version {version} of {self.model} is the stable one already")
        if other not in (stable, version):
            raise InputError(
                f"the label {self.settings.canary_label!r} of {self.model} stands for version {other}: somebody else tries that"
            )
        base = self._base(entry)
        return Plan(str(stable), str(version), text_of(text, self.model), base is None or lies_there(base, version))

    @override
    def begin(self, plan: Plan, folder: Folder) -> None:
        """Load the candidate, and give it the canary's label."""
        stable, candidate = int(plan.stable), int(plan.candidate)
        ours = self.settings.stable_label, self.settings.canary_label
        if self._entry().labels.get(self.settings.canary_label) != candidate:
            # Until the candidate answers, the canary's label stands for the stable version: then whoever sends a share of the
            # traffic there is answered, and this label shows that the server has taken the config up.
            self._apply(lambda entry: _pinned(entry, [stable, candidate]).labelled(dict.fromkeys(ours, stable)))
            self._await_label(self.settings.canary_label, stable)
            base = self._base(self._entry())
            if base is not None:
                with folder() as source:
                    place(source, base, candidate, LEFT_OUT, self.ensure_allowed)
            self._apply(lambda entry: entry)
            self._await_available(candidate)
        self._apply(lambda entry: _pinned(entry, [stable, candidate]).labelled({self.settings.canary_label: candidate}))
        self._await_label(self.settings.canary_label, candidate)

    @override
    def promote(self, plan: Plan) -> None:
        """Give the candidate the stable version's label; some of the versions before stay loaded."""
        candidate = int(plan.candidate)
        self._await_available(candidate)
        self._apply(lambda entry: self._promoted(entry, plan))
        self._await_label(self.settings.stable_label, candidate)

    @override
    def roll_back(self, plan: Plan) -> str:
        """Make versions and labels what they were, and take the candidate's files away where they were put there."""
        stable, candidate = int(plan.stable), int(plan.candidate)
        before = entry_of(f"model_config_list {{ config {plan.entry} }}", self.model)
        labels = {self.settings.stable_label: stable, self.settings.canary_label: None}
        self._apply(lambda entry: _pinned(entry, [stable], without=candidate).labelled(labels))
        self._await(lambda: self._unloaded(candidate) and self._available(stable), f"version {candidate} is unloaded")
        base = self._base(self._entry())
        if base is not None and not plan.was_there:
            self.ensure_allowed()
            take_away(base, candidate)
        if before.versions is None and (base is None or lies_there(base, candidate)):
            return (
                f"the versions of {self.model} stay pinned: by its policy from before it would load version {candidate} again, "
                "whose folder is not Driftline's to delete"
            )
        self._apply_text(lambda text: restored(text, self.model, plan.entry))
        if self.settings.stable_label in before.labels:
            self._await_label(self.settings.stable_label, stable)
        return ""

    @property
    def _file(self) -> ConfigFile:
        return ConfigFile(self.settings.model_config_file)

    @property
    def _status(self) -> StatusPage:
        settings = self.settings
        return StatusPage(self.client, settings.rest, self.model, settings.timeout.total_seconds())

    def _entry(self) -> Entry:
        return entry_of(self._file.read(), self.model)

    def _served(self, entry: Entry) -> int:
        """Return the version that answers where nobody asks for one: the highest that is loaded."""
        known = self._status.versions().values()
        available = [
            one.version for one in known if one.available and (entry.versions is None or one.version in entry.versions)
        ]
        if not available:
            raise TransientError(f"{self.settings.rest}: no version of {self.model} is available")
        return max(available)

    def _promoted(self, entry: Entry, plan: Plan) -> Entry:
        stable, candidate = int(plan.stable), int(plan.candidate)
        ours = self.settings.stable_label, self.settings.canary_label
        labelled = {version for label, version in entry.labels.items() if label not in ours}
        earlier = sorted({*(entry.versions or ()), stable} - {candidate}, key=lambda one: (one != stable, -one))
        kept = {candidate, *labelled, *earlier[: self.settings.keep_previous]}
        before = entry_of(f"model_config_list {{ config {plan.entry} }}", self.model)
        # A label that was there before is asked for by somebody, canary or not.
        canary = candidate if self.settings.canary_label in before.labels else None
        return entry.serving(*kept).labelled({ours[0]: candidate, ours[1]: canary})

    def _base(self, entry: Entry) -> Path | None:
        """Return the folder of versions on this machine; None where it lies elsewhere, and trainers write there themselves."""
        if self.settings.base_path is not None:
            return self.settings.base_path
        return None if "://" in entry.base_path else Path(entry.base_path)

    def _apply(self, change: Callable[[Entry], Entry]) -> None:
        self._apply_text(lambda text: changed(text, self.model, change))

    def _apply_text(self, change: Callable[[str], str]) -> None:
        """Write the config, and tell it: also where nothing changed, since a crash may have come between the two."""

        def allowed(text: str) -> str:
            # Asked under the file's lock, which may have been waited for.
            self.ensure_allowed()
            return change(text)

        text = self._file.rewrite(allowed)
        if self.settings.grpc is not None:
            self.ensure_allowed()
            reload_config(self.settings.grpc, text, self._certificates(), self.settings.timeout.total_seconds())

    def _certificates(self) -> bytes | None:
        path = self.settings.grpc_ca_file
        try:
            return None if path is None else path.read_bytes()
        except OSError as error:
            raise InputError(f"{path}: the certificates cannot be read: {error.strerror}") from error

    def _available(self, version: int) -> bool:
        found = self._status.versions().get(version)
        if found is not None and found.failed:
            raise InputError(f"version {version} of {self.model} cannot be loaded: {found.error}")
        return found is not None and found.available

    def _unloaded(self, version: int) -> bool:
        found = self._status.versions().get(version)
        return found is None or found.state == "END"

    def _await_available(self, version: int) -> None:
        self._await(lambda: self._available(version), f"version {version} is available")

    def _await_label(self, label: str, version: int) -> None:
        self._await(
            lambda: self._status.labelled(label) == version,
            f"the label {label!r} stands for version {version}: without `grpc` it must poll its config file",
        )

    def _await(self, holds: Callable[[], bool], what: str) -> None:
        deadline = Deadline.after(self.clock, PATIENCE_SECONDS)
        while not holds():
            self.ensure_allowed()
            if deadline.expired():
                raise TransientError(f"{self.settings.rest}: {self.model} does not yet say that {what}")
            self.pause(min(_LOOK_SECONDS, deadline.remaining()))


def _pinned(entry: Entry, versions: Iterable[int], without: int | None = None) -> Entry:
    """Return an entry that serves these versions, those that it names, and those that have a label, but for one."""
    every = {*versions, *(entry.versions or ()), *entry.labels.values()}
    return entry.serving(*(version for version in every if version != without))
