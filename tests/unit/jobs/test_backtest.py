"""When a window of replayed files is complete."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from collectors.files import open_tables
from monitor.jobs.backtest import Traffic, _plan, _windows
from monitor.window.frames import ColumnRoles

SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("traffic") / "t.parquet"


@given(st.lists(st.integers(-5, 30), min_size=1), st.integers(1, 7), st.integers(1, 7))
def test_every_window_comes_once_whole_and_in_order(file: Path, seconds: list[int], first: int, second: int) -> None:
    parquet.write_table(pa.table({"ts": seconds, "row": list(range(len(seconds)))}), file)
    traffic = Traffic(str(file), ColumnRoles(timestamp="ts"), 3 * SECOND)
    tables = open_tables(str(file))
    read: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("monitor.jobs.backtest._BATCH_ROWS", first)
        plan = _plan(tables, traffic)
        patch.setattr("monitor.jobs.backtest._BATCH_ROWS", second)
        windows = list(_windows(tables, traffic, plan, lambda done, _: read.append(done)))
    starts = [int(window.start.timestamp()) for window, _ in windows]
    assert starts == sorted({second // 3 * 3 for second in seconds})
    for start, (_, table) in zip(starts, windows, strict=True):
        assert table["row"].to_pylist() == [row for row, at in enumerate(seconds) if at // 3 * 3 == start]
    assert read[-1] == len(seconds)


def test_a_window_is_let_go_as_soon_as_no_later_row_belongs_to_it(file: Path) -> None:
    parquet.write_table(pa.table({"ts": [0, 3, 1, 6, 9, 12]}), file)
    traffic = Traffic(str(file), ColumnRoles(timestamp="ts"), 3 * SECOND)
    tables = open_tables(str(file))
    read = [0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("monitor.jobs.backtest._BATCH_ROWS", 1)
        plan = _plan(tables, traffic)
        seen = [
            (int(window.start.timestamp()), read[-1])
            for window, _ in _windows(tables, traffic, plan, lambda n, _: read.append(n))
        ]
    # The window that starts at 0 waits for the third row; each is yielded before the progress of its batch is told.
    assert seen == [(0, 2), (3, 2), (6, 3), (9, 4), (12, 5)]
