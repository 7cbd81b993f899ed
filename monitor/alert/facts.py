"""What a rule sees of one window: its flagged findings, each with what it is about; changes with their JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from monitor.window.slicing import slice_key, slice_name

FlaggedFinding = Mapping[str, Any]
"""A finding's JSON object with the `version`, `slice`, `window_start` and `window_end` that it is about."""


class Source(StrEnum):
    """Who speaks of a window."""

    TRAFFIC = "findings"
    QUALITY = "quality"


@dataclass(frozen=True, slots=True)
class Facts:
    """The flagged findings of one window of a model, of all versions and slices; None where that source has not spoken.

    A source has spoken when it is done with every version of the window.
    """

    traffic: Sequence[FlaggedFinding] | None = None
    quality: Sequence[FlaggedFinding] | None = None

    def of(self, source: Source) -> Sequence[FlaggedFinding] | None:
        """Return what a source says."""
        return self.traffic if source is Source.TRAFFIC else self.quality


def traffic_findings(document: Mapping[str, Any]) -> Iterator[FlaggedFinding]:
    """Yield the flagged findings of a findings object."""
    yield from _flagged(document, document["slice"], document["findings"])


def quality_findings(document: Mapping[str, Any]) -> Iterator[FlaggedFinding]:
    """Yield the flagged findings of an evaluation's object."""
    for each in document["slices"]:
        yield from _flagged(document, each["slice"], each["findings"])


def labels_of(finding: FlaggedFinding) -> dict[str, str]:
    """Return what matchers can ask of a finding; what it is not about is an empty text."""
    return {name: str(finding[name] or "") for name in ("kind", "feature", "reference", "measure", "version")} | {
        "slice": slice_name(slice_key(finding["slice"]))
    }


def _flagged(
    document: Mapping[str, Any], slice_: Mapping[str, str], findings: Sequence[Mapping[str, Any]]
) -> Iterator[FlaggedFinding]:
    about = {name: document[name] for name in ("version", "window_start", "window_end")} | {"slice": dict(slice_)}
    for finding in findings:
        if finding["flagged"]:
            yield dict(finding) | about
