from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from monitor.compare.breaks.causes import Break, Cause
from monitor.compare.breaks.find import find_breaks
from monitor.profile.baseline import Baseline, create_baseline
from monitor.profile.profile import Profile, build_profile
from monitor.records import Misfits, Rows
from tests.unit.compare.samples import drawn, flights, of_months

JANUARY = of_months(flights(), 1)
ORDER = np.random.default_rng(1).permutation(JANUARY.num_rows)
WINDOW = drawn(JANUARY, ORDER[20_000:21_000])


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return create_baseline(drawn(JANUARY, ORDER[:20_000]))


def broken(**changes: Callable[[pa.Table], pa.Array]) -> Rows:
    """Return the window with columns changed, each from the whole table."""
    table = WINDOW.features
    for name, change in changes.items():
        table = table.set_column(table.column_names.index(name), name, change(WINDOW.features))
    return replace(WINDOW, features=table)


def found(profile: Profile, baseline: Baseline) -> dict[str, Break]:
    return {each.feature: each for each in find_breaks(profile, baseline, dict.fromkeys(baseline.features, 1.0))}


def test_a_window_like_its_baseline_has_no_breaks(baseline: Baseline) -> None:
    assert found(build_profile(WINDOW, baseline), baseline) == {}


def test_another_season_is_no_break(baseline: Baseline) -> None:
    july = of_months(flights(), 7)
    window = drawn(july, np.random.default_rng(2).choice(july.num_rows, 1_000, replace=False))
    assert found(build_profile(window, baseline), baseline) == {}


def test_several_breaks_of_one_window_are_told_apart(baseline: Baseline) -> None:
    rows = broken(
        distance=lambda t: pc.multiply(t["distance"], 60),
        dep_delay=lambda t: pc.negate(t["dep_delay"]),
        flight=lambda t: pa.nulls(len(t), pa.int64()),
        carrier=lambda t: pc.utf8_lower(t["carrier"]),
        dest=lambda t: t["origin"],
        hour=lambda t: t["minute"],
        minute=lambda t: t["hour"],
        sched_arr_time=lambda t: pa.array(np.zeros(len(t), np.int64)),
    )
    breaks = found(build_profile(rows, baseline), baseline)
    assert {name: each.cause for name, each in breaks.items()} == {
        "distance": Cause.NEW_UNIT,
        "dep_delay": Cause.SIGN_FLIPPED,
        "flight": Cause.GONE_NULL,
        "carrier": Cause.RECODED,
        "dest": Cause.DUPLICATED,
        "hour": Cause.SWAPPED,
        "minute": Cause.SWAPPED,
        "sched_arr_time": Cause.GONE_CONSTANT,
    }
    assert breaks["dest"].partner == "origin"
    assert breaks["hour"].partner == "minute"
    assert list(breaks) == sorted(breaks)


def test_weighted_statistics_are_read_too() -> None:
    weights = np.random.default_rng(3).uniform(1.0, 3.0, 20_000)
    weighted = create_baseline(replace(drawn(JANUARY, ORDER[:20_000]), weights=weights))
    rows = broken(distance=lambda t: pc.multiply(t["distance"], 1_000), origin=lambda t: pc.utf8_lower(t["origin"]))
    breaks = found(build_profile(rows, weighted), weighted)
    assert {name: each.cause for name, each in breaks.items()} == {"distance": Cause.NEW_UNIT, "origin": Cause.RECODED}


def test_a_column_that_did_not_move_has_no_break(baseline: Baseline) -> None:
    profile = build_profile(broken(distance=lambda t: pc.multiply(t["distance"], 60)), baseline)
    assert find_breaks(profile, baseline, {"origin": 1.0}) == []


def test_a_type_change_needs_no_move(baseline: Baseline) -> None:
    rows = broken(distance=lambda t: pa.nulls(len(t), pa.int64()))
    profile = build_profile(replace(rows, misfits={"distance": Misfits(1_000, ('"1400"',))}), baseline)
    assert [each.cause for each in find_breaks(profile, baseline, {})] == [Cause.TYPE_CHANGED]


def test_a_profile_without_statistics_has_no_breaks(baseline: Baseline) -> None:
    profile = replace(build_profile(broken(flight=lambda t: pa.nulls(len(t), pa.int64())), baseline), statistics=b"")
    assert found(profile, baseline) == {}
