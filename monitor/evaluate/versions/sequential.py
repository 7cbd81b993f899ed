"""Two versions followed hour by hour, as values that add up; changes with what is kept of an hour."""

from __future__ import annotations

from dataclasses import dataclass, field

from monitor.evaluate.versions.blocks import paired_blocks, unpaired_blocks
from monitor.evaluate.versions.deciding import Decision, Rule, decide
from monitor.evaluate.versions.sums import Hourly, Sums, added, total


@dataclass(frozen=True, slots=True)
class Sequential:
    """Two versions that answer different requests, hour by hour; a value that can be kept as the JSON of its sums."""

    stable: Hourly = field(default_factory=dict)
    candidate: Hourly = field(default_factory=dict)

    def update(self, hour: int, stable: Sums, candidate: Sums) -> Sequential:
        """Return this with the sums of an hour added to those it has of it; hours may come in any order."""
        return self.merge(Sequential({hour: stable}, {hour: candidate}))

    def merge(self, other: Sequential) -> Sequential:
        """Return the sums of both; they must not share requests."""
        return Sequential(added(self.stable, other.stable), added(self.candidate, other.candidate))

    def verdict(self, rule: Rule) -> Decision:
        """Look after every hour, and return what is known in the end."""
        requests = total(self.stable).requests, total(self.candidate).requests
        return decide(unpaired_blocks(self.stable, self.candidate, rule.least), rule, requests)


@dataclass(frozen=True, slots=True)
class PairedSequential:
    """Two versions that answer the same requests: sums of the candidate's losses less those of the stable version, by hour."""

    differences: Hourly = field(default_factory=dict)

    def update(self, hour: int, differences: Sums) -> PairedSequential:
        """Return this with the sums of an hour added to those it has of it; hours may come in any order."""
        return self.merge(PairedSequential({hour: differences}))

    def merge(self, other: PairedSequential) -> PairedSequential:
        """Return the sums of both; they must not share requests."""
        return PairedSequential(added(self.differences, other.differences))

    def verdict(self, rule: Rule) -> Decision:
        """Look after every hour, and return what is known in the end."""
        requests = total(self.differences).requests
        return decide(paired_blocks(self.differences, rule.least), rule, (requests, requests))
