"""A model that was served for six hours, with labels, and candidates for it: for tests of the gate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from monitor.act.retrain import Retrain, RetrainState
from monitor.clock import rfc3339
from monitor.config.settings import Settings
from tests.ledgers import HOUR, NOON
from tests.unit.jobs.label_world import Seen, World

ROWS = 1_500
"""Labelled rows of version 1, 300 an hour from six hours before noon to one hour before noon; the last hour waits for labels."""


def truth(number: float) -> float:
    """Return how likely a label of 1 is; the number itself was the prediction, which is worse than to say so."""
    return 0.9 if number > 0.5 else 0.1


def served(world: World, hours: range = range(-6, 0), *, version: str = "1", labelled: bool = True) -> None:
    """Let a version answer 300 requests an hour, labels a minute later."""
    random = np.random.default_rng(7)
    rows, labels = [], []
    for hour in hours:
        for place in range(300):
            name, number = f"{version}/{hour}/{place}", float(random.random())
            at = hour + place / 300
            rows.append(Seen(name, at, number=number))
            labels.append(Seen(name, at + 1 / 60, label=float(random.random() < truth(number))))
    world.traffic(*rows, until=1, version=version)
    world.labels(*(labels if labelled else []), until=3)
    world.judge()


def settings(folder: Path, *, evaluation: Mapping[str, Any] | None = None, **gate: Any) -> Settings:
    """Return the settings of that model, whose candidates lie in `folder`/candidates."""
    return Settings.model_validate(
        {
            "store": "sqlite:///unused.db",
            "kafka": {"bootstrap_servers": ["unused:1"]},
            "candidates": f"file:{folder}/candidates",
            "models": {
                "model": {
                    "traffic": {"topic": "requests"},
                    "labels": {"topic": "labels", "horizon": "4h"},
                    "windows": {"length": "1h", "allowed_lateness": "0s", "restate_for": "24h"},
                    "evaluation": evaluation,
                    "retrain": {"trainer": {"type": "command", "command": ["train"]}, "gate": gate},
                }
            },
        }
    )


def retrain(uri: str, *, version: str = "2", until: float | None = None, **statistics: Any) -> Retrain:
    """Return a retrain whose candidate waits for the gate; it was trained on rows until so many hours from noon."""
    data = {} if until is None else {"data": {"end": rfc3339(NOON + until * HOUR)}}
    return Retrain(
        "retrain-1",
        "model",
        RetrainState.EVALUATING,
        revision=5,
        created_by="test",
        created_at=NOON,
        updated_at=NOON,
        due_at=NOON,
        request=data,
        candidate={"uri": uri, "version": version, "statistics": statistics},
    )
