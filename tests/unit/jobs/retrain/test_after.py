"""Whether an alert has cleared because of a promotion."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from monitor.alert.alert import Alert, AlertState
from monitor.clock import rfc3339
from monitor.jobs.retrain.after import cleared
from tests.ledgers import NOON
from tests.unit.jobs.retrain_world import alert

HOUR = timedelta(hours=1)
NOTED = {"episode": 1, "firing": True, "watermark": rfc3339(NOON)}
FIRING = replace(alert(), episode=1)
OVER = replace(alert(AlertState.RESOLVED), episode=1)
BEFORE, AFTER = NOON - HOUR, NOON


@pytest.mark.parametrize(
    ("now", "newest", "noted", "how"),
    [
        pytest.param(None, None, NOTED, "there is no such alert any more", id="it is gone"),
        pytest.param(FIRING, None, NOTED, None, id="it still fires"),
        pytest.param(OVER, None, NOTED, "it cleared", id="an alert without windows is over"),
        pytest.param(OVER, (AFTER, False), NOTED, "it cleared", id="it is over, by a window of the new version"),
        pytest.param(OVER, (BEFORE, False), NOTED, None, id="it is over, by a window of the old version"),
        pytest.param(FIRING, (AFTER, True), NOTED, None, id="a window of the new version matches"),
        pytest.param(FIRING, (AFTER, False), NOTED, "no longer matches", id="one does not, though it is kept firing"),
        pytest.param(FIRING, (BEFORE, False), NOTED, None, id="a late window of the old version does not match"),
        pytest.param(
            replace(FIRING, episode=2), (AFTER, True), NOTED, "fired anew since", id="it cleared, and came back"
        ),
        pytest.param(
            replace(FIRING, episode=2),
            (AFTER, True),
            NOTED | {"episode": 2},
            None,
            id="it had come back before, while training",
        ),
        pytest.param(
            replace(FIRING, episode=2),
            (AFTER, True),
            NOTED | {"firing": False},
            None,
            id="it had cleared before, and came back",
        ),
        pytest.param(OVER, (BEFORE, False), NOTED | {"watermark": None}, "it cleared", id="no watermark was known"),
    ],
)
def test_an_alert_has_cleared_only_by_what_came_after_the_promotion(
    now: Alert | None, newest: tuple[Any, bool] | None, noted: dict[str, Any], how: str | None
) -> None:
    found = cleared(now, newest, noted)
    assert (found is None) if how is None else (found is not None and how in found)
