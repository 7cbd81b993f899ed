"""The sampler's last cut: which rows are kept, and what each stands for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from monitor.config.settings import FloorSettings
from monitor.window.sampling import KEEP_ALL, LastCut, last_cut
from monitor.window.strata import Floors

HALF = 2**63
STRATA = ["", "status=error"]


def cut(hashes: list[int], strata: list[int] | None = None, **changes: Any) -> LastCut:
    given: dict[str, Any] = {
        "theta": KEEP_ALL,
        "max_rows": 100,
        "floors": Floors([FloorSettings(by=["status"], rows=2)]),
        "seen": {},
    }
    rates = changes.pop("rates", None)
    return last_cut(
        np.array(hashes, dtype=np.uint64),
        None if strata is None else (np.array(strata), STRATA),
        None if rates is None else np.array(rates),
        **(given | changes),
    )


@pytest.mark.parametrize(
    ("hashes", "strata", "changes", "kept"),
    [
        pytest.param([1, 2, 3], None, {}, [1, 2, 3], id="all below theta"),
        pytest.param([1, 2, 3], None, {"theta": 3}, [1, 2], id="a row at theta is left out"),
        pytest.param([4, 1, 3, 2], None, {"max_rows": 2}, [1, 2], id="the smallest hashes of a full window"),
        pytest.param([1, 8, 9], [0, 1, 1], {"theta": 5, "seen": {"": 1, "status=error": 2}}, [1, 8, 9], id="a floor"),
        pytest.param(
            [7, 8, 9], [1, 1, 1], {"theta": 5, "seen": {"status=error": 3}}, [7, 8], id="the smallest of a floor"
        ),
        pytest.param(
            [7, 8, 8, 9], [1, 1, 1, 1], {"theta": 5, "seen": {"status=error": 4}}, [7, 8, 8],
            id="instances of one id stay together",
        ),
        pytest.param(
            [1, 2, 3, 9], [1, 1, 1, 1], {"theta": 5, "seen": {"status=error": 4}}, [1, 2, 3], id="theta keeps more than the floor"
        ),
        pytest.param([8], [1], {"theta": 5}, [], id="a floor is nothing where strata are not counted"),
        pytest.param(
            [8], [1], {"theta": 5, "seen": {"status=error": 1}, "floors": Floors([])}, [], id="a floor that is gone"
        ),
        pytest.param(
            [1, 2, 3, 9], [0, 0, 0, 1], {"max_rows": 2, "theta": 8, "seen": {"": 3, "status=error": 1}}, [1, 2, 9],
            id="rows of a floor do not fill the window",
        ),
    ],
)  # fmt: skip
def test_rows_that_are_kept(hashes: list[int], strata: list[int] | None, changes: Any, kept: list[int]) -> None:
    made = cut(hashes, strata, **changes)
    assert [value for value, keep in zip(hashes, made.kept.tolist(), strict=True) if keep] == kept


@pytest.mark.parametrize(
    ("changes", "factors"),
    [
        pytest.param({}, [1, 1, 1], id="nothing is known of what was seen"),
        pytest.param({"seen": {"": 6}}, [2, 2, 2], id="seen by kept"),
        pytest.param({"seen": {"": 4, "status=error": 7}}, [2, 2, 7], id="seen by kept, each stratum for itself"),
        pytest.param({"seen": {"": 4, "c=1": 3}}, [7 / 3] * 3, id="strata without a floor are of the default one"),
        pytest.param({"rates": [0.5, 1.0, 1.0], "theta": HALF}, [2, 2, 2], id="rates above theta do not matter"),
        pytest.param({"rates": [0.25, 1.0, 1.0], "theta": HALF}, [4, 2, 2], id="a rate below theta does"),
        pytest.param(
            {"rates": [0.25, 0.5, 1.0], "seen": {"": 2, "status=error": 1}}, [4, 2, 1],
            id="where others sampled, the inverse of the chance stands for what was seen",
        ),
    ],
)  # fmt: skip
def test_what_a_kept_row_stands_for(changes: Any, factors: list[float]) -> None:
    assert cut([1, 2, 3], [0, 0, 1], **changes).factors.tolist() == pytest.approx(factors)
