"""Whether a model has been without data for too long; changes with what silence is measured by."""

from __future__ import annotations

from datetime import datetime, timedelta

from monitor.alert.alert import AlertState
from monitor.alert.state import Standing
from monitor.clock import rfc3339

_QUIET = Standing(AlertState.INACTIVE, None, "there is data")


def standing_without_data(last: datetime | None, at: datetime | None, limit: timedelta) -> Standing:
    """Say what there being no data amounts to.

    Args:
        last: end of the last window with rows; where there never was one, since when somebody looks, or None to say nothing.
        at: wall clock; of a model whose time is a replay's, its stream's watermark, None before the first.
        limit: how long there may be none.
    """
    if last is None or at is None or at - last < limit:
        return _QUIET
    return Standing(AlertState.FIRING, last, f"no rows since {rfc3339(last)}, for longer than {limit}")
