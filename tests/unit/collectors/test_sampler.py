from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.sampler import KEEP_ALL, WINDOWS_OF_A_VERSION, Hashes, Sampler, below, theta_of
from monitor.clock import EPOCH
from monitor.records import Window, WindowKey

KEY = WindowKey("m", "1", Window.holding(EPOCH, timedelta(hours=1)))


def hashes(*values: int) -> Hashes:
    return np.array(values, dtype=np.uint64)


@dataclass
class Store:
    """What collectors have committed of one window."""

    kept: list[int] = field(default_factory=list)
    thetas: list[int] = field(default_factory=list)

    def smallest(self, key: WindowKey) -> int | None:
        return min(self.thetas, default=None)


def bottom(values: list[int], k: int) -> list[int]:
    """What a reader keeps: the rows strictly below the (k+1)-th smallest hash."""
    ordered = sorted(values)
    return ordered if len(ordered) <= k else [value for value in ordered if value < ordered[k]]


def commit(sampler: Sampler, store: Store, cut: list[int], k: int, rate: int, *, lost: bool = False) -> None:
    """Do with a cut what the buffer does; a lost one is discarded by the ledger."""
    rows = hashes(*cut)
    rows = rows[below(rows, rate)]
    theta = sampler.theta(KEY, rows, rate, k)
    kept = rows[below(rows, theta)]
    if lost:
        return
    store.kept.extend(kept.tolist())
    if len(kept):
        store.thetas.append(theta)
    sampler.remember(KEY, kept, k)


@pytest.mark.parametrize(
    ("rate", "theta"),
    [
        pytest.param(1.0, KEEP_ALL, id="all"),
        pytest.param(0.5, 2**63, id="half"),
        pytest.param(2.0**-64, 1, id="the smallest rate that keeps anything"),
    ],
)
def test_theta_is_the_rate_of_all_hashes(rate: float, theta: int) -> None:
    assert theta_of(rate) == theta


def test_the_largest_hash_is_kept_only_by_a_rate_of_one() -> None:
    largest = hashes(2**64 - 1)
    assert below(largest, KEEP_ALL).tolist() == [True]
    assert below(largest, theta_of(1 - 2**-53)).tolist() == [False]


def test_theta_stays_at_the_rate_while_the_window_is_small() -> None:
    sampler = Sampler(lambda _: None)
    assert sampler.theta(KEY, hashes(1, 2, 3), KEEP_ALL, 3) == KEEP_ALL


def test_theta_falls_to_the_first_hash_that_no_reader_can_want() -> None:
    sampler = Sampler(lambda _: None)
    assert sampler.theta(KEY, hashes(40, 10, 30, 20), KEEP_ALL, 3) == 41


def test_a_window_that_others_have_begun_starts_at_their_theta() -> None:
    assert Sampler(lambda _: 1000).theta(KEY, hashes(1), KEEP_ALL, 10) == 1000


def test_rows_of_a_discarded_cut_are_not_counted_twice() -> None:
    sampler = Sampler(lambda _: None)
    for _ in range(3):
        assert sampler.theta(KEY, hashes(10, 20, 30), KEEP_ALL, 3) == KEEP_ALL


def test_old_windows_are_forgotten_when_there_are_too_many_hashes() -> None:
    asked: list[WindowKey] = []
    sampler = Sampler(asked.append, max_hashes=10)
    keys = [WindowKey("m", str(number), KEY.window) for number in range(5)]
    for key in keys:
        sampler.theta(key, hashes(*range(5)), KEEP_ALL, 100)
        sampler.remember(key, hashes(*range(5)), 100)
    assert asked == keys
    sampler.theta(keys[4], hashes(9), KEEP_ALL, 100)
    sampler.theta(keys[0], hashes(9), KEEP_ALL, 100)
    assert asked == [*keys, keys[0]]


_hashes = st.one_of(st.integers(0, 40), st.integers(0, 2**64 - 1))


@given(
    cuts=st.lists(
        st.tuples(st.integers(0, 2), st.lists(_hashes, max_size=12), st.sampled_from(["commit", "lose", "restart"])),
        max_size=25,
    ),
    k=st.integers(1, 8),
    rate=st.sampled_from([KEEP_ALL, 2**63, 30]),
)
def test_readers_find_the_same_rows_whatever_collectors_did(
    cuts: list[tuple[int, list[int], str]], k: int, rate: int
) -> None:
    """Any number of collectors, restarts, discarded cuts (read again later) and ties: bottom-k of what was kept is exact."""
    store = Store()
    collectors = [Sampler(store.smallest) for _ in range(3)]
    everything: list[int] = []
    for who, cut, fate in cuts:
        everything += [value for value in cut if value < rate]
        if fate == "restart":
            collectors[who] = Sampler(store.smallest)
        if fate == "lose":
            commit(collectors[who], store, cut, k, rate, lost=True)
        commit(collectors[(who + (fate == "lose")) % 3], store, cut, k, rate)
    theta = min(store.thetas, default=rate)
    assert bottom([value for value in store.kept if value < theta], k) == bottom(everything, k)


@given(
    cuts=st.lists(
        st.tuples(st.integers(0, 2), st.lists(_hashes, max_size=12), st.sampled_from(["commit", "lose", "restart"])),
        max_size=25,
    ),
    floor=st.integers(1, 6),
)
def test_readers_find_the_smallest_of_a_stratum_whatever_collectors_did(
    cuts: list[tuple[int, list[int], str]], floor: int
) -> None:
    kept: list[int] = []
    collectors = [Sampler(lambda _: 20) for _ in range(3)]
    everything: list[int] = []
    for who, cut, fate in cuts:
        everything += cut
        if fate == "restart":
            collectors[who] = Sampler(lambda _: 20)
        for sampler, committed in ((collectors[who], fate != "lose"), (collectors[(who + 1) % 3], fate == "lose")):
            sampler.theta(KEY, hashes(*cut), 20, 3)
            rows = hashes(*cut)
            rows = rows[below(rows, sampler.floor(KEY, "s=1", rows, floor))]
            if committed:
                kept += rows.tolist()
                sampler.remember_floor(KEY, "s=1", rows, floor)
    assert sorted(kept)[: floor + 1] == sorted(everything)[: floor + 1]


def test_a_floor_keeps_no_more_of_later_cuts_than_can_still_be_wanted() -> None:
    sampler = Sampler(lambda _: None)
    for cut, expected in ((hashes(5, 6, 7, 8), 8), (hashes(1, 9, 10), 7)):
        sampler.theta(KEY, cut, KEEP_ALL, 100)
        limit = sampler.floor(KEY, "s=1", cut, 2)
        assert limit == expected
        sampler.remember_floor(KEY, "s=1", cut[below(cut, limit)], 2)


def test_hashes_of_floors_are_forgotten_with_their_window() -> None:
    sampler = Sampler(lambda _: None, max_hashes=10)
    keys = [WindowKey("m", str(number), KEY.window) for number in range(5)]
    for key in keys:
        sampler.theta(key, hashes(*range(5)), KEEP_ALL, 100)
        sampler.remember_floor(key, "s=1", hashes(*range(5)), 4)
    assert sampler.floor(keys[0], "s=1", hashes(*range(5)), 5) == KEEP_ALL
    assert sampler.floor(keys[4], "s=1", hashes(*range(5)), 5) < KEEP_ALL


def test_windows_that_a_version_has_left_behind_are_forgotten_and_those_of_others_are_not() -> None:
    asked: list[WindowKey] = []
    sampler = Sampler(asked.append)
    hour = timedelta(hours=1)
    keys = [
        WindowKey("m", "1", Window.holding(EPOCH + number * hour, hour)) for number in range(WINDOWS_OF_A_VERSION + 2)
    ]
    other = WindowKey("m", "2", KEY.window)
    for key in [other, *keys]:
        sampler.theta(key, hashes(1), KEEP_ALL, 10)
        sampler.remember(key, hashes(1), 10)
    asked.clear()
    for key in [other, *keys[2:], keys[0]]:
        sampler.theta(key, hashes(2), KEEP_ALL, 10)
    assert asked == [keys[0]]
