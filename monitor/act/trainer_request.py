"""A request as a trainer gets it; changes with what is only known once the retrain has an id, and with what may be left out."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from monitor.act.retrain import Retrain

PLACEHOLDER = "{retrain_id}"
"""Stands for the id of the retrain in `expected.candidate_uri` and in the addresses of `callbacks`; nowhere else."""


def request_of(retrain: Retrain) -> dict[str, Any]:
    """Return the request of a retrain, a copy, with its id put in."""
    request = copy.deepcopy(dict(retrain.request))
    request["retrain_id"] = retrain.retrain_id
    request.setdefault("model", retrain.model)
    expected, callbacks = request.get("expected"), request.get("callbacks")
    if isinstance(expected, dict) and "candidate_uri" in expected:
        expected["candidate_uri"] = _filled(expected["candidate_uri"], retrain.retrain_id)
    if isinstance(callbacks, dict):
        request["callbacks"] = {name: _filled(url, retrain.retrain_id) for name, url in callbacks.items()}
    return request


def without_spans(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request whose spans are told by folder, kind and time range only, for what does not take long messages."""
    data = request.get("data")
    return dict(request) if not isinstance(data, Mapping) else {**request, "data": {**data, "spans": [], "listed": 0}}


def _filled(text: Any, retrain_id: str) -> Any:
    return text.replace(PLACEHOLDER, retrain_id) if isinstance(text, str) else text
