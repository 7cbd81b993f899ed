"""Models, windows, evaluations, baselines, findings and decisions over HTTP."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from monitor.act.decision import Decided, Decision, Outcome, Rule
from monitor.clock import rfc3339
from monitor.config.settings import WindowSettings
from monitor.records import Window, WindowKey
from monitor.store.verdict_ledger import Judgement
from monitor.window.label_due import Look
from tests.apis import Api
from tests.ledgers import EVALUATION, HOUR, NOON, Hand, window

FINDING = {
    "kind": "drift",
    "feature": "dep_delay",
    "reference": "training",
    "measure": "cohens_d",
    "value": 0.5,
    "threshold": 0.2,
    "p_value": 0.001,
    "flagged": True,
    "reason": None,
    "explanation": "mean 12 to 19",
}


def document(key: WindowKey) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "model": key.model,
        "version": key.version,
        "slice": {},
        "baseline": 1,
        "window_start": rfc3339(key.window.start),
        "window_end": rfc3339(key.window.end),
        "revision": 1,
        "rows_seen": 3,
        "rows": 3,
        "n_effective": 3.0,
        "verdict": "flagged",
        "findings": [FINDING],
    }


@pytest.fixture
def judged(api: Api) -> list[Window]:
    """Return two windows of flights that were judged and evaluated."""
    api.clock.at, windows = NOON, [window(5), window(4)]
    hand = Hand.on(api.ledger.cuts)
    hand.commit(hand.cut([(WindowKey("flights", "1", each), 3) for each in windows], newest=NOON))
    lease = api.ledger.leases.acquire("model:flights", "a monitor", NOON, 100 * HOUR)
    assert lease is not None
    settings = WindowSettings(length=HOUR, allowed_lateness=timedelta(minutes=10))
    api.ledger.windows.advance("flights", "requests", settings, lease, NOON)
    for due in api.ledger.windows.pending("flights", 100 * HOUR, NOON):
        api.ledger.verdicts.record(Judgement(due, document(due.key), None, 1, "hash"), lease, NOON)
        evaluation = replace(EVALUATION, key=due.key)
        api.ledger.evaluations.record(evaluation, Look(1, 5, 1, None, NOON), lease, NOON)
    return windows


def test_a_model_is_shown_with_how_it_does(api: Api, judged: list[Window]) -> None:
    retrain = api.proposed()
    flights, quiet = api.ask("GET", "/v1/models").json()
    assert flights == api.ask("GET", "/v1/models/flights").json()
    assert (flights["name"], flights["windows"], flights["retrain"]) == ("flights", {"flagged": 2}, retrain.retrain_id)
    assert flights["watermark"] == rfc3339(NOON - timedelta(minutes=10))
    assert quiet == {"name": "quiet", "watermark": None, "baseline": None, "windows": {}, "firing": [], "retrain": None}


def test_windows_evaluations_and_findings_are_leafed_through_alike(api: Api, judged: list[Window]) -> None:
    first, second = (rfc3339(each.start) for each in judged)
    for path, start in (
        ("/v1/models/flights/windows", "start"),
        ("/v1/models/flights/evaluations", "window_start"),
        ("/v1/findings", "window_start"),
    ):
        for query, wanted in (
            ({}, [first, second]),
            ({"limit": 1}, [second]),
            ({"since": second}, [second]),
            ({"until": second}, [first]),
            ({"since": "2026-03-01T09:00:00+01:00"}, [second]),
        ):
            answer = api.client.get(path, params=query, headers={"Authorization": f"Bearer {api.tokens['read']}"})  # type: ignore[index]
            assert [each[start] for each in answer.json()] == wanted, (path, query)


def test_findings_are_the_objects_that_check_writes(api: Api, judged: list[Window]) -> None:
    found = api.ask("GET", "/v1/findings?model=flights").json()
    assert found == api.ledger.findings("flights")
    assert found[0]["findings"] == [FINDING]
    assert api.ask("GET", "/v1/findings?model=quiet").json() == []


def test_an_evaluation_is_shown_whole(api: Api, judged: list[Window]) -> None:
    shown = api.ask("GET", "/v1/models/flights/evaluations").json()[0]
    assert (shown["stage"], shown["verdict"], shown["labelled"], shown["rows"]) == ("provisional", "ok", 5, 10)
    assert shown["document"] == {"metrics": {"auc": 0.75}}


def test_baselines_are_listed_without_their_profiles(api: Api) -> None:
    for rows in (10, 20):
        api.ledger.baselines.add(
            "flights",
            {"profile": "x" * 1_000},
            {},
            {"from": "a file"},
            rows=rows,
            actor="ada",
            activate=False,
            now=NOON,
        )
    first, second = api.ask("GET", "/v1/models/flights/baselines").json()
    assert (first["number"], first["active"], first["rows"]) == (1, True, 10)
    assert (second["number"], second["active"], second["provenance"]) == (2, False, {"from": "a file"})
    assert "profile" not in json.dumps([first, second])
    assert api.ask("GET", "/v1/models/flights").json()["baseline"] == 1


def test_decisions_are_listed_newest_first(api: Api) -> None:
    for number, model in enumerate(("flights", "quiet")):
        decided = Decided("nightly", "0" * 16, 1, model, Decision(Outcome.ACTED, Rule.ALL_MET, "why", "retrain"), "r1")
        api.ledger.decisions.record([replace(decided, episode=number)], NOON + number * HOUR)
    both = api.ask("GET", "/v1/decisions").json()
    assert [each["model"] for each in both] == ["quiet", "flights"]
    [one] = api.ask("GET", "/v1/decisions?model=flights").json()
    assert (one["policy"], one["action"], one["reason"], one["retrain_id"], one["times"]) == (
        "nightly",
        "retrain",
        "why",
        "r1",
        1,
    )


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models/none",
        "/v1/models/none/windows",
        "/v1/models/none/evaluations",
        "/v1/models/none/baselines",
        "/v1/findings?model=none",
        "/v1/models/fl%2Fights",
    ],
)
def test_a_model_that_there_is_not(shared: Api, path: str) -> None:
    assert shared.ask("GET", path).status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=x",
        "since=yesterday",
        "since=2026-03-01T00:00:00",
        "until=-3842544782",
        "since=1772366400.5",
        "since=0001-01-01T00:00:00%2B01:00",
        "until=9999-12-31T23:59:59-01:00",
    ],
)
def test_a_page_that_cannot_be(shared: Api, query: str) -> None:
    for path in ("/v1/models/flights/windows", "/v1/models/flights/evaluations", "/v1/findings"):
        assert shared.ask("GET", f"{path}?{query}").status_code == 422


def test_the_manual_lists_every_operation_with_its_scope(shared: Api) -> None:
    answer = shared.client.get("/docs")
    assert answer.headers["Content-Type"].startswith("text/html")
    for path, item in shared.app.openapi()["paths"].items():
        for method, operation in item.items():
            row = f"<code>{method.upper()} {path}</code></td><td>{operation['x-scope']}</td>"
            assert row in answer.text
