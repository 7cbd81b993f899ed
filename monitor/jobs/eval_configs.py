"""The EvalConfigs of served models, read again when their files change; changes with where an EvalConfig may lie."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import fsspec

from monitor.config.evaluation import EvaluationSettings
from monitor.errors import ConfigError

if TYPE_CHECKING:
    from monitor.evaluate.model_specs import Settled


@dataclass(frozen=True, slots=True)
class ServedConfig:
    """An EvalConfig as served rows are evaluated by it; `digest` changes with its text and with the model's settings."""

    settled: Settled
    digest: str


@dataclass
class EvalConfigs:
    """Remembers what was read; not thread-safe."""

    _known: dict[tuple[str, bool], ServedConfig] = field(default_factory=dict)

    def of(self, settings: EvaluationSettings, *, weighted: bool) -> ServedConfig:
        """Return the EvalConfig of a model's settings; raises ConfigError where it cannot be read or is wrong."""
        text = read_config(settings.eval_config)
        digest = hashlib.sha256(f"{settings.model_dump_json()}\n{text}".encode()).hexdigest()
        known = self._known.get((settings.eval_config, weighted))
        if known is None or known.digest != digest:
            # TFMA takes seconds to import, and where nothing is evaluated it is not wanted.
            from monitor.evaluate.live import served_config

            known = ServedConfig(served_config(text, settings.eval_config, weighted=weighted), digest)
            self._known[settings.eval_config, weighted] = known
        return known


def read_config(location: str) -> str:
    """Return the text of an EvalConfig file, local or any fsspec URI; raises ConfigError where it cannot be read."""
    try:
        with fsspec.open(location, "rb") as stream:
            content: bytes = stream.read()
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{location}: the EvalConfig is not UTF-8 text; write a text proto, YAML or JSON") from error
    except (OSError, ValueError, ImportError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise ConfigError(f"{location}: the EvalConfig cannot be read ({reason})") from error
