"""Bringing a candidate into service and out again: `steps.Rollout`; changes with the order in which that happens.

What is planned is in the ledger before anything changes, so that whoever takes over after a crash knows how it was before.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from monitor.act.canary import judge_canary
from monitor.act.retrain import Retrain
from monitor.act.steps import CanaryVerdict, Found
from monitor.act.timing import lasts, words
from monitor.clock import Clock, rfc3339
from monitor.config.canary import CanarySettings
from monitor.config.settings import ModelSettings, Settings
from monitor.cuts import SpanStorage
from monitor.errors import ConfigError, InputError, TransientError
from monitor.jobs.release.adopting import candidate_baseline
from monitor.jobs.release.allowed import WhileUnchanged
from monitor.jobs.release.canary_watching import Canary, watch
from monitor.outside.canary_webhook import CanaryWebhook
from monitor.outside.candidates.resolve import resolved
from monitor.outside.http import HttpClient
from monitor.outside.serving import Plan, Serving
from monitor.outside.tf_serving.serving import TfServing
from monitor.store.judged_windows import judged_windows
from monitor.store.ledger import Ledger
from monitor.store.rollout_ledger import Rollout as Held

PROMOTED, ROLLED_BACK = "promoted", "rolled_back"
_ACTOR = "driftline"
_MIB = 1 << 20
_MOST_LOOKS = 1_000
_ADOPTED, _BEFORE = "baseline", "baseline_before"


@dataclass
class ServingRollout:
    """Rolls candidates of all models of one ledger out; the steps of one retrain must not run at the same time.

    A call waits some seconds for what it has asked for; then it raises TransientError, and the next call goes on with that.
    It raises that too once `stopping` is set, or somebody else has moved the retrain on meanwhile.
    """

    ledger: Ledger
    storage: SpanStorage
    settings: Settings
    http: HttpClient
    clock: Clock
    pause: Callable[[float], object] = field(default_factory=lambda: threading.Event().wait)
    stopping: threading.Event = field(default_factory=threading.Event)
    _looked: dict[str, tuple[object, Found]] = field(default_factory=dict, init=False)

    def begin(self, retrain: Retrain) -> Found:
        """Serve the candidate beside the stable version; returns once it answers: WAITING, or BAD where it never will.

        Raises:
            TransientError: it does not answer yet.
        """
        model, canary = self._configured(retrain)
        if canary is None:
            raise InputError(f"model {retrain.model!r} has no `retrain.canary` any more")
        serving, held = self._serving(retrain, canary), self.ledger.rollouts.get(retrain.retrain_id)
        try:
            held = held or self._planned(retrain, serving)
            plan = Plan.from_document(held.document)
            serving.begin(plan, lambda: self._candidate(retrain, model))
        except (InputError, ConfigError) as error:
            return Found(CanaryVerdict.BAD, str(error))
        except TransientError as error:
            waited = lasts(held.began_at if held else retrain.updated_at, self.clock.now())
            if waited < canary.patience:
                raise
            return Found(CanaryVerdict.BAD, f"it does not serve after {words(waited)}: {error}")
        since = self.ledger.watermarks().get(retrain.model)
        self.ledger.rollouts.serves(retrain.retrain_id, since, self.clock.now())
        details = {
            "stable_version": plan.stable,
            "candidate_version": plan.candidate,
            "since": None if since is None else rfc3339(since),
        }
        return Found(
            CanaryVerdict.WAITING, f"version {plan.candidate} serves beside {plan.stable or 'another'}", details
        )

    def watch(self, retrain: Retrain) -> Found:
        """Compare candidate and stable version on live traffic since the canary began; `verdict` is a CanaryVerdict.

        Looks again only where windows were judged or labels have come since the last look.

        Raises:
            TransientError: a span file cannot be read.
        """
        try:
            model, settings = self._configured(retrain)
        except InputError as error:
            return Found(CanaryVerdict.BAD, str(error))
        held = self.ledger.rollouts.get(retrain.retrain_id)
        if held is None or settings is None:
            return Found(CanaryVerdict.BAD, "its canary never began, or the settings have none any more")
        plan, now = Plan.from_document(held.document), self.clock.now()
        canary = Canary(held, plan.stable, plan.candidate, model, settings)
        judged = judged_windows(self.ledger.database, self.ledger.team, retrain.model, canary.since, None)
        mark = (
            tuple(judged.items()),
            self.ledger.labels.watermark(retrain.model),
            lasts(held.serving_at or held.began_at, now) >= settings.give_up_after,  # as `watch` counts it
        )
        known = self._looked.get(retrain.retrain_id)
        if known is not None and known[0] == mark:
            return known[1]
        watched, details = watch(canary, self.ledger, self.storage, now)
        verdict, reason = judge_canary(watched, settings)
        found = Found(verdict, reason, details)
        if len(self._looked) >= _MOST_LOOKS:
            self._looked.clear()
        self._looked[retrain.retrain_id] = (mark, found)
        return found

    def promote(self, retrain: Retrain) -> Found:
        """Make the candidate the stable version, and adopt a new baseline where settings say so.

        Raises:
            TransientError: what serves it does not answer, or a place cannot be read now.
            InputError: it cannot be promoted.
        """
        model, canary = self._configured(retrain)
        held = self.ledger.rollouts.get(retrain.retrain_id)
        plan = self._plan_of(retrain, canary, held)
        baseline, said = self._made_baseline(retrain, plan, held, model)
        if canary is not None:
            self._serving(retrain, canary).promote(plan)
        if baseline is not None:
            self._ensure_allowed(retrain)()
            # Only now: until here windows were those of the version before. Those of it that are judged later meet the new one.
            self.ledger.baselines.activate(retrain.model, baseline, _ACTOR, self.clock.now())
        how = f"version {plan.candidate} serves instead of {plan.stable or 'the one before'}"
        if canary is None:
            how = f"version {plan.candidate} may be served: nobody is told, since there is no `retrain.canary`"
        details = {"stable_version": plan.candidate, "previous_version": plan.stable, "baseline": baseline}
        return Found(PROMOTED, f"{how}; {said}", details)

    def roll_back(self, retrain: Retrain) -> Found:
        """Take the candidate out of service, and make everything as it was before; also where it only half began.

        Raises:
            TransientError: what serves it does not answer.
            InputError: it cannot be done.
        """
        _, canary = self._configured(retrain)
        held = self.ledger.rollouts.get(retrain.retrain_id)
        if held is None:
            return Found(ROLLED_BACK, "nothing had been changed")
        plan = Plan.from_document(held.document)
        if canary is None:
            raise InputError("the settings have no `retrain.canary` any more, which says where it serves")
        left = self._serving(retrain, canary).roll_back(plan)
        before, adopted = held.document.get(_BEFORE), held.document.get(_ADOPTED)
        self._ensure_allowed(retrain)()
        if before is not None and adopted is not None and self.ledger.baselines.active_number(retrain.model) == adopted:
            self.ledger.baselines.activate(retrain.model, before, _ACTOR, self.clock.now())
        how = f"version {plan.stable} serves as before" if plan.stable else "the version before serves again"
        return Found(ROLLED_BACK, f"{how}; {left}" if left else how, {"stable_version": plan.stable, "left": left})

    def _configured(self, retrain: Retrain) -> tuple[ModelSettings, CanarySettings | None]:
        model = self.settings.models.get(retrain.model)
        if model is None or model.retrain is None:
            raise InputError(f"model {retrain.model!r} has no `retrain` settings any more")
        return model, model.retrain.canary

    def _serving(self, retrain: Retrain, canary: CanarySettings) -> Serving:
        if canary.tf_serving is not None:
            name = canary.tf_serving.model or retrain.model
            allowed = self._ensure_allowed(retrain)
            return TfServing(canary.tf_serving, name, self.http, self.clock, self.pause, allowed)
        assert canary.webhook is not None  # noqa: S101 - settings have one of the two
        return CanaryWebhook(
            canary.webhook,
            retrain.model,
            retrain.retrain_id,
            retrain.candidate,
            lambda candidate: self._newest_served(retrain.model, candidate),
            self.http,
            self.clock,
            self._ensure_allowed(retrain),
        )

    def _ensure_allowed(self, retrain: Retrain) -> WhileUnchanged:
        return WhileUnchanged(self.ledger, retrain, self.stopping)

    def _planned(self, retrain: Retrain, serving: Serving) -> Held:
        plan = serving.plan(_version(retrain))
        before = self.ledger.baselines.active_number(retrain.model)
        document = plan.to_document() | {_BEFORE: before}
        return self.ledger.rollouts.begin(retrain.retrain_id, retrain.model, document, self.clock.now())

    def _plan_of(self, retrain: Retrain, canary: CanarySettings | None, held: Held | None) -> Plan:
        if held is not None:
            return Plan.from_document(held.document)
        if canary is not None:
            raise InputError("its canary never began")
        version = _version(retrain)
        return Plan(self._newest_served(retrain.model, version), version)

    def _newest_served(self, model: str, but: str) -> str:
        """Return the version of the newest judged window that is not a candidate's; empty where there is none."""
        judged = judged_windows(self.ledger.database, self.ledger.team, model, None, None)
        return next((key.version for key in reversed(judged) if key.version != but), "")

    @contextmanager
    def _candidate(self, retrain: Retrain, model: ModelSettings) -> Iterator[Path]:
        """Find the candidate, the very files that the gate has seen; raises InputError where they are others."""
        size = model.retrain.gate.max_size_mib * _MIB if model.retrain else 0
        with resolved(self.settings.candidates, retrain.candidate, size) as candidate:
            gate = retrain.details.get("gate", {}).get("candidate", {})
            if gate.get("digest", candidate.digest) != candidate.digest:
                raise InputError("the candidate's files have changed since the gate has seen them")
            yield candidate.folder

    def _made_baseline(
        self, retrain: Retrain, plan: Plan, held: Held | None, model: ModelSettings
    ) -> tuple[int | None, str]:
        """Return the number of the new baseline, made once, and what a person should know of it."""
        if model.retrain is None or not model.retrain.adopt_baseline:
            return None, "the baseline stays"
        there = [
            row.number
            for row in self.ledger.baselines.all_of(retrain.model)
            if row.provenance.get("retrain") == retrain.retrain_id
        ]
        if there:
            return there[-1], f"baseline {there[-1]} comes with it"
        try:
            adopted = candidate_baseline(retrain, plan.stable, self.ledger, self.storage, self.settings)
        except InputError as error:
            return None, f"the baseline stays: {error}"
        made = adopted.made
        number = self.ledger.baselines.add(
            retrain.model,
            made.baseline.to_document(),
            made.baseline.column_types,
            made.provenance,
            rows=made.baseline.rows,
            actor=_ACTOR,
            activate=False,
            now=self.clock.now(),
        )
        if held is not None:
            self.ledger.rollouts.note(retrain.retrain_id, **{_ADOPTED: number})
        return number, f"baseline {number} comes with it, of {adopted.said}"


def _version(retrain: Retrain) -> str:
    version = retrain.candidate.get("version")
    if not isinstance(version, str) or not version:
        raise InputError("the candidate has no version")
    return version
