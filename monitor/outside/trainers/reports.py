"""What trainers say of runs, in their words, as a Report; changes with what a candidate may tell."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from monitor.act.nesting import MOST_LEVELS, is_deeper
from monitor.act.steps import Progress, Report
from monitor.outside.trainers.server import one_line

_LONGEST_URI = 1_024
_VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,99}")
_MOST_STATISTICS_BYTES = 65_536


def completed(told: Any, request: Mapping[str, Any]) -> Report:
    """Return the report of a run that ended well; what is not told of the candidate is as was asked for.

    Args:
        told: an object that may have `uri`, `version` (text or integer) and `statistics` (an object); anything else of it is
            left out. None, where nothing is told.
        request: what was asked, with its `expected`.

    A candidate that is told of in another way makes a failed run.
    """
    expected = request.get("expected", {})
    told = {} if told is None else told
    if not isinstance(told, Mapping):
        return _unusable("it is no JSON object")
    uri = expected.get("candidate_uri") if told.get("uri") is None else told["uri"]
    version = expected.get("version") if told.get("version") is None else told["version"]
    statistics = {} if told.get("statistics") is None else told["statistics"]
    if isinstance(version, int) and not isinstance(version, bool):
        version = str(version)
    if not isinstance(uri, str) or not 0 < len(uri) <= _LONGEST_URI:
        return _unusable("its `uri` is no text of 1 to 1,024 characters")
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        return _unusable("its `version` is no text of at most 100 letters, digits and `._+-`")
    if not isinstance(statistics, Mapping):
        return _unusable("its `statistics` are no JSON object")
    if is_deeper(statistics, MOST_LEVELS):
        return _unusable(f"its `statistics` are nested deeper than {MOST_LEVELS} levels")
    try:
        size = len(json.dumps(statistics, allow_nan=False))
    except (ValueError, TypeError, RecursionError):
        return _unusable("its `statistics` hold what is no JSON, such as NaN")
    if size > _MOST_STATISTICS_BYTES:
        return _unusable(f"its `statistics` have more than {_MOST_STATISTICS_BYTES} bytes")
    return Report(Progress.COMPLETED, candidate={"uri": uri, "version": version, "statistics": dict(statistics)})


def by_state(
    state: Any, states: Mapping[str, Progress], told: Any, request: Mapping[str, Any], reason: Any = None
) -> Report:
    """Return what a foreign state means; one that is not in `states` is a run that goes on, since nothing says that it ended."""
    progress = states.get(state) if isinstance(state, str) else None
    if progress is Progress.COMPLETED:
        return completed(told, request)
    if progress is None:
        return Report(Progress.RUNNING, f"its state is {one_line(state)!r}, of which nothing is known here")
    why = f": {one_line(reason)}" if reason else ""
    return Report(progress, f"its state is {one_line(state)}{why}")


def lost(where: str) -> Report:
    """Return the report of a run that its own server does not know."""
    return Report(Progress.LOST, f"{where} does not know the run")


def _unusable(why: str) -> Report:
    return Report(Progress.FAILED, f"what the trainer tells of its candidate cannot be used: {why}")
