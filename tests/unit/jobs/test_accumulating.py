from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from monitor.clock import to_micros
from monitor.config.detection import DetectionSettings
from monitor.jobs.accumulating import accumulated
from monitor.profile.baseline import Baseline, create_baseline
from monitor.profile.profile import Profile, count_rows
from monitor.records import Rows, Window, WindowKey
from monitor.store.ledger import Ledger

START = datetime(2026, 3, 2, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SETTINGS = DetectionSettings()


def _rows(start: datetime, hours: int) -> Rows:
    random = np.random.default_rng(hours)
    times = to_micros(start) + np.repeat(np.arange(hours), 20) * 3_600_000_000
    return Rows(pa.table({"a": random.normal(size=20 * hours)}), event_times=times)


@pytest.fixture(scope="module")
def baselines() -> dict[timedelta, Baseline]:
    return {step: create_baseline(_rows(START - 20 * DAY, 480), block_length=step) for step in (HOUR, DAY)}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", "team")
    yield ledger
    ledger.close()


def _window(step: timedelta, baseline: Baseline) -> tuple[WindowKey, Profile]:
    return WindowKey("m", "1", Window(START, START + step)), count_rows(_rows(START, step // HOUR), baseline)


@pytest.mark.parametrize(
    ("step", "revision", "counts"),
    [(DAY, 1, True), (DAY, 2, True), (HOUR, 1, True), (HOUR, 2, False)],
    ids=["a day", "a day again", "an hour", "an hour again"],
)
def test_a_revision_counts_where_it_can_take_the_place_of_what_was_said(
    ledger: Ledger, baselines: dict[timedelta, Baseline], step: timedelta, revision: int, counts: bool
) -> None:
    key, profile = _window(step, baselines[step])
    assert (accumulated(ledger, key, revision, profile, baselines[step], SETTINGS) is not None) is counts


def test_nothing_is_kept_where_it_is_not_asked_for(ledger: Ledger, baselines: dict[timedelta, Baseline]) -> None:
    key, profile = _window(DAY, baselines[DAY])
    assert accumulated(ledger, key, 1, profile, baselines[DAY], DetectionSettings(gradual=False)) is None
