"""The gate of a candidate model: found, run apart, held against what was served; changes with what a candidate has to show."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa

from monitor.act.retrain import Retrain, RetrainState
from monitor.act.steps import Found, GateVerdict
from monitor.clock import Clock, rfc3339
from monitor.config.retraining import GateSettings
from monitor.config.settings import ModelSettings, Settings
from monitor.cuts import SpanStorage
from monitor.errors import ConfigError, InputError
from monitor.jobs.labelling import Labeller
from monitor.jobs.release.gate_quality import answers_column, check_alike, opinion
from monitor.jobs.release.gate_rows import GateRows, features_of, recent_rows, taken, unlabelled_rows
from monitor.jobs.window_rows import ActiveBaselines
from monitor.outside.candidates import worker
from monitor.outside.candidates.resolve import SAVED_MODEL, VERSION, Candidate, resolved
from monitor.outside.candidates.running import Job, Ran, run
from monitor.profile.baseline import Baseline
from monitor.store.ledger import Ledger

_MIB = 1 << 20


class _Rejected(Exception):
    """The candidate may not go on, for the reason that is the message."""


@dataclass
class CandidateGate:
    """Judges candidates of all models of one ledger; safe to share between threads.

    It may take somewhat longer than `retrain.gate.timeout`. It changes nothing: asked again about the same retrain, it looks
    again, at the rows that are labelled by then.
    """

    ledger: Ledger
    storage: SpanStorage
    settings: Settings
    clock: Clock
    run: Callable[[Job, pa.Table], Ran] = run
    """Runs a candidate: in a process of its own."""

    def judge(self, retrain: Retrain) -> Found:
        """Load the candidate, smoke-test it and evaluate it beside the present version; `verdict` is a GateVerdict.

        Raises:
            TransientError: a span file or the place of the candidates cannot be read now.
        """
        details: dict[str, Any] = {}
        try:
            model = self.settings.models.get(retrain.model)
            if model is None or model.retrain is None:
                raise _Rejected("the model has no `retrain` settings any more")
            reason = _Judging(self, retrain, model, model.retrain.gate, details).passed()
        except (_Rejected, InputError, ConfigError) as error:
            return Found(GateVerdict.REJECTED, str(error).splitlines()[0], details)
        return Found(GateVerdict.PASSED, reason, details)


@dataclass(frozen=True, slots=True)
class _Judging:
    """One look at one candidate; `details` fills up with what was found."""

    gate: CandidateGate
    retrain: Retrain
    model: ModelSettings
    settings: GateSettings
    details: dict[str, Any] = field(default_factory=dict)

    def passed(self) -> str:
        """Return why the candidate passes; raises _Rejected, InputError or ConfigError where it does not."""
        report = self.retrain.candidate
        with resolved(self.gate.settings.candidates, report, self.settings.max_size_mib * _MIB) as candidate:
            self.details["candidate"] = {
                "version": report["version"],
                "place": candidate.place,
                "files": candidate.files,
                "size_bytes": candidate.size_bytes,
                "digest": candidate.digest,
            }
            try:
                found = self._rows(str(report["version"]))
            except InputError as error:
                return self._unlabelled(candidate, str(error))
            rows = self._unseen(found)
            if len(rows.rows) < self.settings.min_labels:
                few = f"{len(rows.rows):,} labelled rows of version {rows.version}; {self.settings.min_labels:,} are needed"
                return self._unlabelled(candidate, few)
            return self._labelled(candidate, rows)

    def _labeller(self) -> Labeller:
        return Labeller(self.gate.ledger, self.gate.storage)

    def _baseline(self) -> Baseline | None:
        return ActiveBaselines(self.gate.ledger).of(self.retrain.model)

    def _rows(self, version: str) -> GateRows:
        found = recent_rows(
            self._labeller(),
            self.retrain.model,
            self.model,
            self._baseline(),
            newer_than=self.settings.labelled,
            most=self.settings.max_rows,
            but=version,
            now=self.gate.clock.now(),
        )
        self.details["rows"] = {
            "version": found.version,
            "windows": found.windows,
            "since": rfc3339(found.since),
            "until": rfc3339(found.until),
            "labelled": len(found.rows),
        }
        return found

    def _unseen(self, found: GateRows) -> GateRows:
        """Return the rows that the candidate cannot have been trained on where those are enough, else all."""
        trained_until = _trained_until(self.retrain)
        told = self.details["rows"]
        told["trained_until"] = None if trained_until is None else rfc3339(trained_until)
        unseen = np.zeros(0, np.int64) if trained_until is None else np.flatnonzero(found.newer_than(trained_until))
        told["unseen"] = None if trained_until is None else len(unseen)
        enough = len(unseen) >= self.settings.min_labels
        told["used"] = "unseen" if enough else "all"
        if enough:
            return GateRows(taken(found.rows, unseen), found.version, found.windows, found.since, found.until)
        if self.settings.unseen == "require":
            few = "it is not known which rows the candidate was trained on"
            if trained_until is not None:
                few = f"{len(unseen):,} labelled rows are newer than what the candidate was trained on"
            raise _Rejected(f"{few}; `retrain.gate.unseen: require` asks for {self.settings.min_labels:,}")
        return found

    def _labelled(self, candidate: Candidate, found: GateRows) -> str:
        ran = self._ran(candidate, features_of(found.rows, self.model.privacy), found.version)
        if ran.answers is None:
            if ran.lacking and self.settings.trust_trainer:
                return self._by_trainer(f"the rows lack what it asks for ({ran.reason})")
            raise _Rejected(f"the candidate failed its smoke test: {ran.reason}")
        traffic = self.model.traffic
        of = traffic.output_class if self.settings.output_class is None else self.settings.output_class
        answers = answers_column(ran.answers, of)
        check_alike(found.rows, answers)
        self._check_latency(ran)
        said = opinion(found.rows, answers, self.model.evaluation, self.settings)
        self.details.update(said.details)
        if not said.good:
            raise _Rejected(said.reason)
        of_rows = f"{len(found.rows):,} labelled rows" + (
            " newer than its training data" if self.details["rows"]["used"] == "unseen" else ""
        )
        return f"{said.reason}; on {of_rows}"

    def _unlabelled(self, candidate: Candidate, why: str) -> str:
        """Smoke-test a candidate that no labels speak for, and take the trainer's word, where settings say so."""
        if not self.settings.trust_trainer:
            raise _Rejected(f"too few labels to judge it by: {why}")
        rows = unlabelled_rows(
            self._labeller(),
            self.retrain.model,
            self.model,
            self._baseline(),
            most=self.settings.smoke_rows,
            but=str(self.retrain.candidate["version"]),
        )
        ran = self._ran(candidate, features_of(rows, self.model.privacy), "")
        if ran.answers is None and not ran.lacking:
            raise _Rejected(f"the candidate failed its smoke test: {ran.reason}")
        return self._by_trainer(f"too few labels ({why})")

    def _ran(self, candidate: Candidate, features: pa.Table, version: str) -> Ran:
        with self._present(version) as present:
            job = Job(
                candidate=candidate.folder,
                present=present,
                signature=self.settings.signature,
                output=self.settings.output or self.model.traffic.output,
                smoke_rows=self.settings.smoke_rows,
                seconds=self.settings.timeout.total_seconds(),
                memory_bytes=self.settings.max_memory_mib * _MIB,
            )
            ran = self.gate.run(job, features)
        self.details["smoke"] = ran.to_json()
        return ran

    def _by_trainer(self, why: str) -> str:
        statistics = self.retrain.candidate.get("statistics")
        blessing = statistics.get("blessing") if isinstance(statistics, Mapping) else None
        self.details["trainer"] = {"blessing": blessing if isinstance(blessing, str) else None, "why": why}
        if blessing != "BLESSED":
            raise _Rejected(f"{why}, and the trainer's own evaluation does not say BLESSED")
        return f"{why}; blessed by the trainer's own evaluation, which `retrain.gate.trust_trainer` lets count"

    def _check_latency(self, ran: Ran) -> None:
        seconds = ran.latency_seconds or {}
        mine, theirs = seconds.get(worker.CANDIDATE), seconds.get(worker.PRESENT)
        if mine is None or not theirs:
            self.details["latency"] = {"ratio": None, "reason": ran.present_error or "the present model is not known"}
            return
        ratio = mine / theirs
        self.details["latency"] = {"ratio": ratio, "most": self.settings.max_latency_ratio}
        if ratio > self.settings.max_latency_ratio:
            raise _Rejected(
                f"it takes {ratio:.2g} times as long as the present model ({mine * 1e3:.3g} ms for "
                f"{self.settings.smoke_rows} rows); at most {self.settings.max_latency_ratio:g} times is allowed"
            )

    @contextmanager
    def _present(self, version: str) -> Iterator[Path | None]:
        """Find the present model: where settings say, or where it was a candidate; None where that is not known.

        A version is a text of the traffic's, so it is no part of a path unless it is a plain name.
        """
        if not VERSION.fullmatch(version) or ".." in version:
            yield None
            return
        if self.settings.present is not None:
            folder = Path(unquote(self.settings.present.removeprefix("file:").replace("{version}", version)))
            yield folder if (folder / SAVED_MODEL).is_file() else None
            return
        promoted = self.gate.ledger.retrains.list(self.retrain.model, RetrainState.PROMOTED)
        report = next((each.candidate for each in promoted if each.candidate.get("version") == version), None)
        if report is None:
            yield None
            return
        try:
            found = resolved(self.gate.settings.candidates, report, self.settings.max_size_mib * _MIB)
            with found as present:
                yield present.folder
        except InputError:
            yield None


def _trained_until(retrain: Retrain) -> datetime | None:
    """Return up to when, by event time, the candidate may have been trained on rows.

    The request says where they end; a trainer that held the newest ones out says so by `statistics.trained_until`.
    """
    data, statistics = retrain.request.get("data"), retrain.candidate.get("statistics")
    ends = [
        _moment(of.get(name)) for of, name in ((data, "end"), (statistics, "trained_until")) if isinstance(of, Mapping)
    ]
    return min((end for end in ends if end is not None), default=None)


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None
