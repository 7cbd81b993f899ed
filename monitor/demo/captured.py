"""What the proxy and the model server have counted, read from their metrics. Changes with the names of these metrics."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from monitor.demo.client import fetch

_REQUESTS = ":tensorflow:serving:request_count"


@dataclass(frozen=True, slots=True)
class Captured:
    """Answers that the proxy's capture has seen, by what became of them.

    Attributes:
        sent: acknowledged by Kafka.
        sampled_out: left out by the sampler.
        dropped: given up for want of room, or unreadable.
        failed: not taken by Kafka.
    """

    sent: int = 0
    sampled_out: int = 0
    dropped: int = 0
    failed: int = 0

    @property
    def settled(self) -> int:
        """All of them; what is missing still waits for Kafka."""
        return self.sent + self.sampled_out + self.dropped + self.failed


def captured(address: str) -> Captured | None:
    """Return what the proxy whose metrics are at `address` has counted; None where it does not answer."""
    text = fetch(address, "/metrics")
    if text is None:
        return None
    counts = _sums(text.decode())
    return Captured(
        **{
            name: counts.get(f"driftline_capture_{name}_total", 0)
            for name in ("sent", "sampled_out", "dropped", "failed")
        }
    )


def served(address: str) -> int | None:
    """Return how many requests the model server at `address` has answered with 200; None where it does not answer."""
    text = fetch(address, "/monitoring/prometheus/metrics")
    if text is None:
        return None
    ok = f'{_REQUESTS}{{model_name="'
    lines = (line for line in text.decode().splitlines() if line.startswith(ok) and 'status="OK"' in line)
    return sum(int(line.rpartition(" ")[2]) for line in lines)


def _sums(text: str) -> dict[str, int]:
    """Return the samples of a Prometheus text, added up over their labels."""
    sums: dict[str, int] = {}
    families: Iterable[object] = text_string_to_metric_families(text)
    for family in families:
        for sample in getattr(family, "samples", ()):
            sums[sample.name] = sums.get(sample.name, 0) + int(sample.value)
    return sums
