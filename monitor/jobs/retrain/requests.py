"""What a trainer is asked: why, on what, against which baseline, and what is expected of it; changes with docs/trainers.md.

No value of the traffic is in it: features, columns of slices and measures are named, rows are counted, and files are pointed at.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from collectors.spans import segment
from monitor.act.trainer_request import PLACEHOLDER, without_spans
from monitor.alert.alert import SEVERITY, Alert
from monitor.clock import rfc3339, to_micros
from monitor.config.settings import ModelSettings, Settings
from monitor.cuts import SpanStorage
from monitor.errors import InputError
from monitor.jobs.labelling import reach_of
from monitor.records import SpanKind, Window
from monitor.store.label_ledger import StoredSpan
from monitor.store.ledger import Ledger

SCHEMA_VERSION = 1
MAX_SPANS = 10_000
"""Spans that are listed one by one; more are told by folder and time range."""
MAX_BYTES = 4 * 2**20
"""Of the whole request as JSON."""
MAX_FINDINGS = 20
_MAX_LABELS = 64
_MAX_TEXT = 1_000
_TOLD = (
    "kind",
    "feature",
    "reference",
    "measure",
    "version",
    "window_start",
    "window_end",
    "value",
    "threshold",
    "p_value",
)
"""Of a finding. Its explanation and the values of its slice are left out: they hold values of the traffic."""


def request_for(
    ledger: Ledger,
    storage: SpanStorage,  # noqa: ARG001 - spans are told by the manifest alone; a request that looks into them needs this
    settings: Settings,
    model: str,
    alert: Alert | None,
    reason: str,
    now: datetime,
) -> dict[str, Any]:
    """Return the request to train `model` anew, as JSON; `monitor.act.trainer_request.request_of` puts the retrain's id in.

    The time range ends at the watermark of the traffic, which in a replay is not `now`.

    Raises:
        InputError: there is no such model, or nothing says how to retrain it.
    """
    configured = settings.models.get(model)
    if configured is None or configured.retrain is None:
        raise InputError(f"model {model!r} has no `retrain` settings: nothing says who trains it")
    end = ledger.watermarks().get(model, now)
    within = Window(end - configured.retrain.data, end)
    traffic = ledger.labels.predictions(model, within)
    labels = ledger.labels.spans(model, reach_of(configured).labels_of(within)) if configured.labels else []
    request = {
        "schema_version": SCHEMA_VERSION,
        "model": model,
        "requested_at": rfc3339(now),
        "why": _why(alert, reason),
        "data": _data(settings.spans.uri, model, within, traffic, labels)
        | {"labelled": _labelled(ledger, model, configured, within)},
        "baseline": _baseline(ledger, model),
        "expected": {
            "candidate_uri": f"{_uri(settings.candidates, segment(model))}/{PLACEHOLDER}",
            "version": str(_next_version(ledger, model, traffic, now)),
        },
        "callbacks": _callbacks(settings.api.public_url),
    }
    if len(json.dumps(request, allow_nan=False)) > MAX_BYTES:
        return without_spans(request)
    return request


def _why(alert: Alert | None, reason: str) -> dict[str, Any]:
    if alert is None:
        return {"reason": reason[:_MAX_TEXT], "alert": None, "findings": [], "findings_total": 0}
    labels = sorted(alert.labels.items())[:_MAX_LABELS]
    return {
        "reason": reason[:_MAX_TEXT],
        "alert": {
            "name": alert.name[:_MAX_TEXT],
            "fingerprint": alert.fingerprint,
            "episode": alert.episode,
            "severity": alert.labels.get(SEVERITY, "")[:_MAX_TEXT],
            "origin": str(alert.origin),
            "labels": {name[:_MAX_TEXT]: value[:_MAX_TEXT] for name, value in labels},
            "fired_at": None if alert.fired_at is None else rfc3339(alert.fired_at),
        },
        "findings": [_finding(each) for each in alert.findings[:MAX_FINDINGS]],
        "findings_total": len(alert.findings),
    }


def _finding(finding: Mapping[str, Any]) -> dict[str, Any]:
    told = {name: _plain(finding.get(name)) for name in _TOLD}
    columns = finding.get("slice")
    return told | {"slice": sorted(columns) if isinstance(columns, Mapping) else []}


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value[:_MAX_TEXT]
    if isinstance(value, bool | int) or value is None:
        return value
    return value if isinstance(value, float) and math.isfinite(value) else None


def _data(
    spans_uri: str, model: str, within: Window, traffic: Sequence[StoredSpan], labels: Sequence[StoredSpan]
) -> dict[str, Any]:
    kinds = ((SpanKind.TRAFFIC, traffic), (SpanKind.LABELS, labels))
    listed = len(traffic) + len(labels) <= MAX_SPANS
    rows: Counter[str] = Counter()
    for span in traffic:
        rows[span.version] += span.rows
    return {
        "start": rfc3339(within.start),
        "end": rfc3339(within.end),
        "spans": [_span(spans_uri, kind, span) for kind, spans in kinds for span in spans] if listed else [],
        "listed": len(traffic) + len(labels) if listed else 0,
        "total": {str(kind): {"spans": len(spans), "rows": sum(span.rows for span in spans)} for kind, spans in kinds},
        # Late rows lie in a folder of their own, and are traffic otherwise.
        "folders": {str(kind): _uri(spans_uri, f"{kind}/{segment(model)}") for kind in SpanKind},
        "versions": dict(sorted(rows.items())),
    }


def _span(spans_uri: str, kind: SpanKind, span: StoredSpan) -> dict[str, Any]:
    return {
        "uri": _uri(spans_uri, span.name),
        "kind": str(kind),
        "version": span.version,
        "window_start": rfc3339(span.window.start),
        "window_end": rfc3339(span.window.end),
        "rows": span.rows,
    }


def _labelled(ledger: Ledger, model: str, configured: ModelSettings, within: Window) -> dict[str, Any] | None:
    """Return how many predictions of the evaluated windows have a label, None where labels are not waited for."""
    if configured.labels is None:
        return None
    found = [
        each.evaluation
        for each in ledger.evaluations.evaluations(model)
        if within.start <= each.evaluation.key.window.start < within.end
    ]
    predictions, labelled = sum(each.rows for each in found), sum(each.labelled for each in found)
    watermark = ledger.labels.watermark(model)
    return {
        "windows": len(found),
        "predictions": predictions,
        "labelled": labelled,
        "coverage_ratio": labelled / predictions if predictions else None,
        "watermark": None if watermark is None else rfc3339(watermark),
    }


def _baseline(ledger: Ledger, model: str) -> dict[str, Any] | None:
    active = next((each for each in ledger.baselines.all_of(model) if each.active), None)
    if active is None:
        return None
    return {
        "number": active.number,
        "rows": active.rows,
        "created_at": rfc3339(active.created_at),
        "created_by": active.created_by,
        "provenance": dict(active.provenance),
    }


def _next_version(ledger: Ledger, model: str, traffic: Iterable[StoredSpan], now: datetime) -> int:
    """Return the seconds since the epoch, as TensorFlow's exporters number versions, or one more than the largest known."""
    seen = {span.version for span in traffic}
    seen |= {str(retrain.candidate.get("version", "")) for retrain in ledger.retrains.list(model)}
    numbers = [int(version) for version in seen if version.isascii() and version.isdigit() and len(version) <= 18]
    return max(to_micros(now) // 1_000_000, *(number + 1 for number in numbers), 1)


def _callbacks(public_url: str | None) -> dict[str, str]:
    """Return where the trainer reports to, as far as anybody can reach it."""
    if public_url is None:
        return {}
    retrain = f"{public_url.rstrip('/')}/v1/retrains/{PLACEHOLDER}"
    return {"retrain": retrain} | {name: f"{retrain}/{name}" for name in ("heartbeat", "complete", "fail")}


def _uri(root: str, name: str) -> str:
    """Return the URI of a file or folder under `root`: file:///... with percent signs where that is a local path."""
    if urlsplit(root).scheme not in {"", "file"}:
        return f"{root.rstrip('/')}/{name}"
    bare = root.removeprefix("file://") if root.startswith("file://") else root.removeprefix("file:")
    return (Path(unquote(bare) if root.startswith("file:") else root).absolute() / name).as_uri()
