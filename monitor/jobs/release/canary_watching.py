"""What the ledger knows of a canary beside the stable version; changes with what is compared on live traffic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from monitor.act.canary import Quality, Watched
from monitor.act.timing import lasts
from monitor.clock import rfc3339
from monitor.compare.findings import Kind
from monitor.compare.measures import kolmogorov_smirnov, l_infinity
from monitor.config.canary import CanarySettings
from monitor.config.settings import ModelSettings
from monitor.cuts import SpanStorage
from monitor.errors import ConfigError, InputError
from monitor.evaluate.versions.asked import UNANSWERED, Asked
from monitor.evaluate.versions.deciding import Verdict
from monitor.evaluate.versions.losses import LOSSES, Problem
from monitor.evaluate.versions.result import Comparison, Metric
from monitor.jobs.comparing_versions import Reading
from monitor.jobs.served_answers import Served
from monitor.jobs.version_rows import Columns
from monitor.jobs.versions_served import compare_served
from monitor.profile.counts import Counts
from monitor.profile.profile import Profile
from monitor.records import Window, WindowKey
from monitor.store.ledger import Ledger
from monitor.store.rollout_ledger import Rollout

_SHOWN = frozenset({Verdict.BETTER, Verdict.EQUIVALENT, Verdict.NO_WORSE})
Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Canary:
    """One canary: its rollout, both versions as records name them, and the settings of its model."""

    rollout: Rollout
    stable: str
    candidate: str
    model: ModelSettings
    settings: CanarySettings

    @property
    def since(self) -> datetime | None:
        """Start of the first window that counts."""
        since = self.rollout.since
        return None if since is None else Window.holding(since, self.model.windows.length).start


def watch(canary: Canary, ledger: Ledger, storage: SpanStorage, now: datetime) -> tuple[Watched, dict[str, Any]]:
    """Return what is known of a canary, and what of that is for the record.

    Raises:
        TransientError: a span file cannot be read.
    """
    model = canary.rollout.model
    documents = ledger.rollouts.findings(model, canary.since)
    sides = [[one for one in documents if one["version"] == version] for version in (canary.stable, canary.candidate)]
    stable, candidate = (sum(int(one["rows"]) for one in side) for side in sides)
    began = canary.rollout.since or _starts(sides[1])
    judged = max((datetime.fromisoformat(one["window_end"]) for one in documents), default=began)
    elapsed = timedelta(0) if began is None or judged is None else lasts(began, judged)
    live = canary.model.windows.time == "live"
    since = canary.rollout.serving_at or canary.rollout.began_at
    details: dict[str, Any] = {
        "rows": {"stable": stable, "candidate": candidate},
        "since": None if began is None else rfc3339(began),
        "until": None if judged is None else rfc3339(judged),
        "verdicts": {name: _verdicts(side) for name, side in zip(("stable", "candidate"), sides, strict=True)},
        "only_candidate": sorted({kind for _, kind in _only_candidate(*sides)}),
    }
    harms = [
        f"its outputs are not healthy in the window from {start}, the stable version's are"
        for start, kind in _only_candidate(*sides)
        if kind == Kind.OUTPUT_HEALTH
    ]
    quality = Quality.UNKNOWN
    if min(stable, candidate) >= canary.settings.min_rows:
        found, more = _compared(canary, ledger, storage, now)
        details |= more
        if found is not None:
            harms += [_said(metric) for metric in found.metrics if metric.decides and metric.verdict is Verdict.WORSE]
            quality = _quality(found.metrics)
    shift = _shift(ledger, model, canary, sides[1])
    if shift is not None:
        details["prediction_shift"] = shift
    waited = lasts(since, now) if live else None
    return Watched(elapsed, waited, (stable, candidate), harms, quality, shift), details


def _only_candidate(stable: Sequence[Document], candidate: Sequence[Document]) -> Iterator[tuple[str, str]]:
    """Yield the windows, and the kinds of findings that were flagged there at the candidate and not at the stable version."""
    beside = {str(one["window_start"]): _flagged(one) for one in stable}
    for one in candidate:
        start = str(one["window_start"])
        for kind in sorted(_flagged(one) - beside.get(start, set())):
            yield start, kind


def _flagged(document: Document) -> set[str]:
    return {str(finding["kind"]) for finding in document["findings"] if finding["flagged"]}


def _verdicts(documents: Sequence[Document]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for one in documents:
        counts[str(one["verdict"])] = counts.get(str(one["verdict"]), 0) + 1
    return counts


def _starts(documents: Sequence[Document]) -> datetime | None:
    return min((datetime.fromisoformat(one["window_start"]) for one in documents), default=None)


def _compared(
    canary: Canary, ledger: Ledger, storage: SpanStorage, now: datetime
) -> tuple[Comparison | None, dict[str, Any]]:
    """Compare what both answered with the labels that there are, and the share of requests without an answer."""
    settings = canary.settings

    def asking(problem: Problem) -> Asked:
        names = settings.metrics or [next(iter(LOSSES[problem]))]
        return Asked(
            problem,
            metrics=tuple(dict.fromkeys([*names, UNANSWERED])),
            alpha=settings.alpha,
            margin=settings.margin,
            expected=settings.min_rows,
        )

    served = Served(canary.rollout.model, canary.model, canary.stable, canary.candidate, canary.since)
    try:
        found = compare_served(ledger, storage, served, Reading(Columns(), asking), now)
    except (InputError, ConfigError) as error:
        return None, {"quality": {"reason": f"what both answered cannot be compared: {error}"}}
    metrics = [metric.to_json(found.asked.every) for metric in found.metrics if metric.decides]
    return found, {"quality": {"metrics": metrics, "warnings": list(found.warnings)}}


def _quality(metrics: Sequence[Metric]) -> Quality:
    """Return what metrics that take labels say; requests without an answer are no quality, but may be harm."""
    verdicts = {metric.verdict for metric in metrics if metric.decides and metric.name != UNANSWERED}
    if Verdict.WORSE in verdicts:
        return Quality.WORSE
    return Quality.NO_WORSE if verdicts and verdicts <= _SHOWN else Quality.UNKNOWN


def _said(metric: Metric) -> str:
    interval = "" if metric.interval is None else f", by {metric.interval[0]:.4g} to {metric.interval[1]:.4g}"
    return f"its {metric.name} is worse: {metric.candidate:.4g} against {metric.stable:.4g}{interval}"


def _shift(ledger: Ledger, model: str, canary: Canary, candidate: Sequence[Document]) -> float | None:
    """Return how far the predictions of both are apart, on the cells of the baseline, in the windows that both served."""
    baseline = ledger.baselines.active_number(model)
    if baseline is None or not candidate:
        return None
    ends = [datetime.fromisoformat(one["window_end"]) for one in candidate]
    span = Window(_starts(candidate) or min(ends), max(ends))
    served = []
    for version in (canary.stable, canary.candidate):
        judged = ledger.verdicts.within(WindowKey(model, version, span), span, baseline)
        served.append({one.window: Profile.from_document(one.profiles[""]) for one in judged if "" in one.profiles})
    both = [(served[0][window], served[1][window]) for window in served[0].keys() & served[1].keys()]
    return _apart(both)


def _apart(both: Sequence[tuple[Profile, Profile]]) -> float | None:
    """Return the distance of the counts of windows, weighted so that either version has as much of each."""
    sums: tuple[Counts, Counts] | None = None
    ordered = False
    for stable, candidate in both:
        name = candidate.prediction
        if name is None or name not in stable.counts or name not in candidate.counts:
            continue
        one, two = stable.counts[name], candidate.counts[name]
        if not (one.values.total and two.values.total and len(one.values.sums) == len(two.values.sums)):
            continue
        ordered = two.location is not None
        pair = one.values.scaled(two.values.total / one.values.total), two.values
        sums = pair if sums is None else (sums[0] + pair[0], sums[1] + pair[1])
    if sums is None:
        return None
    p, q = (counts.sums / counts.total for counts in sums)
    return kolmogorov_smirnov(q, p) if ordered else l_infinity(q, p)
