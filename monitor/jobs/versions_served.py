"""Two versions of a model compared by what they served: `driftline versions --model`; changes with what is told of windows.

Windows come one after the other. Of those before only sums are kept, and a label and a prediction a row for metrics that are
no sums.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from monitor.clock import rfc3339
from monitor.cuts import SpanStorage
from monitor.errors import InputError
from monitor.evaluate.versions.answers import Answers
from monitor.evaluate.versions.asked import Asked
from monitor.evaluate.versions.comparison import compare_tallies
from monitor.evaluate.versions.losses import LOSSES
from monitor.evaluate.versions.result import Comparison
from monitor.evaluate.versions.tally import Tally
from monitor.jobs.comparing_versions import Reading
from monitor.jobs.labelling import DueWindow, JoinedWindow, Labeller, reach_of
from monitor.jobs.served_answers import Served, ServedWindows, kind_of
from monitor.store.judged_windows import judged_windows
from monitor.store.ledger import Ledger
from monitor.window.label_due import Candidate, Stage
from monitor.window.label_reach import Reach

KEPT_ROWS = 2_000_000
"""Labelled rows of both versions that are kept for metrics that are no sums: some 60 MB."""

_MANY = 12


@dataclass
class _Followed:
    """What is known after some windows.

    Attributes:
        tallies: by version.
        windows: how many were looked at.
        deleted: of these, left out because retention has taken rows or labels of theirs.
        waiting: of these, for which labels may still come.
        settled_until: end of the newest one that has all labels.
        given_up: whether there were more rows than are kept.
    """

    tallies: dict[str, Tally]
    windows: int = 0
    deleted: int = 0
    waiting: int = 0
    settled_until: datetime | None = None
    given_up: bool = False

    def note(self, joined: JoinedWindow, reach: Reach) -> None:
        """Count a window by what may still become of it."""
        self.windows += 1
        if joined.deleted:
            self.deleted += 1
        elif reach.complete(joined.key.window, joined.look.mark):
            self.settled_until = max(self.settled_until or joined.key.window.end, joined.key.window.end)
        else:
            self.waiting += 1

    def add(self, version: str, answers: Answers, asked: Asked) -> None:
        """Take the rows of a window; raises InputError where predictions do not fit the problem."""
        self.tallies[version] = self.tallies[version].add(answers, asked)

    def bound(self, asked: Asked) -> None:
        """Give up the rows where they are more than are kept.

        Raises:
            InputError: a metric that decides needs them.
        """
        if sum(tally.kept for tally in self.tallies.values()) <= KEPT_ROWS:
            return
        for name in asked.ratios():
            if name in asked.deciding():
                raise InputError(
                    f"{name} takes all labelled rows at once, and there are more than {KEPT_ROWS:,}: give a later --since, "
                    f"or another --metric: {', '.join(LOSSES[asked.problem])}"
                )
        self.given_up = True
        self.tallies = {version: tally.without_rows() for version, tally in self.tallies.items()}

    def compared(self, served: Served, asked: Asked) -> Comparison:
        """Return the comparison, with what a person should know of the windows."""
        stable, candidate = self.tallies[served.stable], self.tallies[served.candidate]
        found = compare_tallies(stable, candidate, asked)
        return replace(found, warnings=[*self._warnings(stable, candidate, asked), *found.warnings])

    def _warnings(self, stable: Tally, candidate: Tally, asked: Asked) -> Iterator[str]:
        shares = [_unlabelled(tally) for tally in (stable, candidate)]
        if any(shares):
            one, two = (f"{share:.1%}" for share in shares)
            yield f"{one} of the stable version's rows and {two} of the candidate's have no label, and count in no loss"
        if self.waiting:
            advice = f"; --until {rfc3339(self.settled_until)} leaves them out" if self.settled_until else ""
            yield (
                f"labels may still come for {self.waiting:,} of {self.windows:,} windows, and early labels are often the easy "
                f"ones{advice}"
            )
        if self.deleted:
            yield f"{self.deleted:,} of {self.windows:,} windows are left out: rows or labels of theirs are deleted by now"
        if self.given_up:
            names = ", ".join(asked.ratios())
            yield (
                f"left out: {names}; they take all labelled rows at once, and there are more than {KEPT_ROWS:,} (a later "
                "--since makes them fewer)"
            )


def compare_served(ledger: Ledger, storage: SpanStorage, served: Served, reading: Reading, now: datetime) -> Comparison:
    """Compare two versions that answered different requests, by their judged windows and the labels that there are by now.

    Args:
        ledger: where the windows are.
        storage: where their spans are.
        served: which windows.
        reading: what is asked, the kind of problem and the length of an hour; columns and slices are of files only.
        now: wall clock.

    Raises:
        InputError: a version has no judged window, nothing is left that could be compared, a value is none of the problem's,
            or there are more rows than a metric that decides can take.
        ConfigError: what is asked cannot be told.
        TransientError: a span file cannot be read.
    """
    windows = ServedWindows(Labeller(ledger, storage), served, now)
    due = _due(ledger, served)
    kind = kind_of(windows, due, reading.problem)
    asked = reading.asked(kind.problem)
    reach = reach_of(served.settings)
    followed = _Followed({served.stable: Tally(), served.candidate: Tally()})
    for joined in windows.joined(due):
        followed.note(joined, reach)
        if joined.deleted:
            continue
        version = joined.key.version
        try:
            followed.add(version, kind.answers(windows.read(joined), reading.every), asked)
        except InputError as error:
            raise InputError(f"version {version} in the window {joined.key.window}: {error}") from error
        followed.bound(asked)
    return followed.compared(served, asked)


def _due(ledger: Ledger, served: Served) -> list[DueWindow]:
    """Return the windows of both versions, oldest first, so that those of one time share the reading of labels."""
    if served.stable == served.candidate:
        raise InputError(f"the stable version and the candidate are both {served.stable!r}")
    judged = judged_windows(ledger.database, ledger.team, served.model, served.since, served.until)
    there = sorted({key.version for key in judged})
    for version in (served.stable, served.candidate):
        if version not in there:
            when = "".join(
                f" {word} {rfc3339(moment)}"
                for word, moment in (("since", served.since), ("until", served.until))
                if moment is not None
            )
            some = ", ".join(there[:_MANY]) + (f" and {len(there) - _MANY} more" if len(there) > _MANY else "")
            raise InputError(
                f"no window of version {version!r} of {served.model} was judged{when}; versions with judged windows: "
                f"{some or 'none'}"
            )
    return [
        DueWindow(Candidate(key, revision, arrived=0), Stage.PROVISIONAL)
        for key, revision in judged.items()
        if key.version in (served.stable, served.candidate)
    ]


def _unlabelled(tally: Tally) -> float:
    return 1.0 - tally.seen.labelled / tally.seen.rows if tally.seen.rows else 0.0
