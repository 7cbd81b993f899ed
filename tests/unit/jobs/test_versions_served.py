"""Two versions compared by judged windows: which windows count, and what is told of the others."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import ColumnElement, update

from monitor.clock import to_micros
from monitor.errors import InputError
from monitor.evaluate.versions.asked import Asked
from monitor.evaluate.versions.losses import Problem
from monitor.evaluate.versions.result import Comparison
from monitor.jobs.comparing_versions import Reading
from monitor.jobs.served_answers import Served
from monitor.jobs.version_rows import Columns
from monitor.jobs.versions_served import compare_served
from monitor.store import tables as t
from monitor.store.judged_windows import judged_windows
from monitor.store.ledger import Ledger
from tests.ledgers import HOUR, NOON, key
from tests.unit.jobs.label_world import Seen, World, settings

LIVE = settings()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", "default")
    yield opened
    opened.close()


@pytest.fixture
def world(ledger: Ledger) -> World:
    """Two versions from four hours before noon on, 60 requests each an hour, and labels a minute later."""
    made, random = World(ledger), np.random.default_rng(1)
    labels = []
    for version in ("1", "2"):
        rows = []
        for hour in range(-4, 0):
            for place in range(60):
                name, label = f"{version}/{hour}/{place}", float(random.integers(0, 2))
                score = float(np.clip(0.3 + 0.4 * label + 0.2 * random.normal(), 0, 1))
                rows.append(Seen(name, hour + place / 60, number=score))
                labels.append(Seen(name, hour + (place + 1) / 60, label=label))
        made.traffic(*rows, until=1, version=version)
    made.labels(*labels, until=1)
    made.judge()
    return made


def compare(world: World, *, since: datetime | None = None, until: datetime | None = None) -> Comparison:
    served = Served("model", LIVE, "1", "2", since, until)
    return compare_served(world.ledger, world.storage, served, Reading(Columns(), Asked), NOON + 5 * HOUR)


def test_every_judged_window_of_both_versions_counts(world: World) -> None:
    found = compare(world)
    assert found.asked.problem is Problem.BINARY
    assert [(side.rows, side.labelled, side.requests) for side in found.seen] == [(240, 240, 240)] * 2
    assert found.metrics[0].requests == (240, 240)
    (waiting,) = found.warnings
    assert waiting.startswith("labels may still come for 6 of 8 windows, and early labels are often the easy ones")
    assert waiting.endswith("; --until 2026-03-01T09:00:00Z leaves them out")


def test_windows_can_be_chosen_by_their_time(world: World) -> None:
    found = compare(world, since=NOON - 3 * HOUR, until=NOON - HOUR)
    assert [side.rows for side in found.seen] == [120, 120]
    keys = judged_windows(world.ledger.database, "default", "model", NOON - 3 * HOUR, NOON - HOUR)
    assert keys == {key(3, "1"): 1, key(3, "2"): 1, key(2, "1"): 1, key(2, "2"): 1}


def delete(world: World, *which: ColumnElement[bool]) -> None:
    with world.ledger.database.write() as connection:
        connection.execute(update(t.spans).where(*which).values(state="deleted"))


def test_windows_that_retention_has_thinned_out_are_left_out_and_told(world: World) -> None:
    spans, start = t.spans.c, to_micros(NOON - 4 * HOUR)
    delete(world, spans.version == "2", spans.window_start == start)
    found = compare(world)
    assert [side.rows for side in found.seen] == [240, 180]
    assert found.warnings[-1] == "1 of 8 windows are left out: rows or labels of theirs are deleted by now"
    delete(world, spans.kind == "labels")
    with pytest.raises(InputError, match="no window of versions 1 and 2 of model is left that has predictions"):
        compare(world)


def test_what_of_a_window_does_not_fit_names_it(world: World) -> None:
    world.traffic(Seen("late", -0.9, number=0.4), until=2, version="2")
    world.labels(Seen("late", -0.8, label=7.0), until=2)
    world.judge()
    with pytest.raises(InputError, match=r"version 2 in the window \[2026-03-01T11:00:00Z, .*: label 7 is not 0 or 1"):
        compare(world)
    asked = Reading(Columns(), Asked, problem=Problem.REGRESSION)
    found = compare_served(world.ledger, world.storage, Served("model", LIVE, "1", "2"), asked, NOON + 5 * HOUR)
    assert [metric.name for metric in found.metrics] == ["absolute_error", "squared_error", "rmse"]
