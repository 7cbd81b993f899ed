"""Leases as a process holds them: taken when they are needed, renewed at half of their time; changes with how they are held."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from monitor.clock import Clock
from monitor.store.leases import Lease
from monitor.store.ledger import Ledger


@dataclass(frozen=True, slots=True)
class _Held:
    lease: Lease
    renew_at: datetime


@dataclass
class Holding:
    """The leases of one process, by name. Used by one thread."""

    ledger: Ledger
    clock: Clock
    holder: str
    duration: timedelta
    _held: dict[str, _Held] = field(default_factory=dict)

    def of(self, name: str) -> Lease | None:
        """Return a lease, None while somebody else has it; whether it is still ours, each transaction checks."""
        now, held = self.clock.now(), self._held.get(name)
        if held is not None and now < held.renew_at:
            return held.lease
        lease = self.ledger.leases.acquire(name, self.holder, now, self.duration)
        if lease is None:
            self._held.pop(name, None)
        else:
            self._held[name] = _Held(lease, now + self.duration / 2)
        return lease

    def lost(self, name: str) -> None:
        """Forget a lease that somebody else took."""
        self._held.pop(name, None)

    def release(self) -> None:
        """Give all leases back."""
        for held in self._held.values():
            self.ledger.leases.release(held.lease)
        self._held.clear()
