"""Opening the ledger of a settings file for commands; changes with how that is done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from monitor.errors import InputError

if TYPE_CHECKING:
    from monitor.config.settings import ModelSettings, Settings
    from monitor.store.ledger import Ledger


def opened_model(config: Path, model: str) -> tuple[Settings, ModelSettings, Ledger]:
    """Return the settings, those of `model`, and the ledger; raises ConfigError, and InputError for an unknown model."""
    from monitor.config.loading import load_settings
    from monitor.store.ledger import Ledger

    settings = load_settings(config)
    if model not in settings.models:
        raise InputError(f"{config} has no model {model!r}; it has: {', '.join(sorted(settings.models))}")
    return settings, settings.models[model], Ledger.open(settings.store, settings.team)


def opened_ledger(config: Path) -> Ledger:
    """Return the ledger of a settings file; raises ConfigError or TransientError."""
    from monitor.config.loading import load_settings
    from monitor.store.ledger import Ledger

    settings = load_settings(config)
    return Ledger.open(settings.store, settings.team)
