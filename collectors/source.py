"""What a collector asks of its input, be it Kafka, files or memory; changes when that contract does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from monitor.cuts import Claim, Lost, Partition

Headers = Sequence[tuple[str, bytes]]
"""The headers of one message: (name, value) pairs, in order."""


@dataclass(frozen=True, slots=True)
class Half:
    """One of two messages that belong together: a request, or its response."""

    value: bytes | None
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Block:
    """What lies in the offsets [start, end) of one partition, in order.

    Blocks of one claim follow each other without a gap: `start` is where the block before ended.

    Attributes:
        epoch: of the claim under which it was read.
        values: the bytes of each message, None for a message without a value; empty where `table` is given.
        offsets: int64, one a message, ascending, within [start, end).
        table: rows of a table file instead of messages.
        headers: (name, value) pairs of each message, where the stream's format reads any and the input has any.
        counterparts: of each message the other half, where a format sends requests and responses apart; `ABSORBED` where this
            message is itself the other half of one before it; None where none was found. Empty for all other formats.
        timestamps: int64 milliseconds since the epoch, one a message, where the input keeps them.
    """

    partition: Partition
    epoch: int
    start: int
    end: int
    offsets: npt.NDArray[np.int64]
    values: Sequence[bytes | None] = ()
    table: pa.Table | None = None
    headers: Sequence[Headers] = ()
    counterparts: Sequence[Half | None] = ()
    timestamps: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        """Return the number of messages."""
        return len(self.offsets)


ABSORBED: Final = Half(None)
"""Stands for the counterpart of a message that was joined to an earlier one."""


@dataclass(frozen=True, slots=True)
class Started:
    """Where reading begins under a claim.

    Attributes:
        stored: the offset that the ledger expects next, so the start of the first range of this claim.
        position: the offset of the first message that will be read.
        lost: offsets in between that no longer exist.
    """

    stored: int
    position: int
    lost: Lost | None = None

    @classmethod
    def under(cls, claim: Claim, first: int, end: int) -> Started:
        """Return where reading begins in an input that holds the offsets [first, end).

        What was deleted before it was read, or cut off behind what was read, is lost.
        """
        stored = first if claim.next_offset is None else claim.next_offset
        if stored < first:
            return cls(stored, first, Lost(claim.partition, stored, first))
        if stored > end:
            return cls(stored, end, Lost(claim.partition, end, stored))
        return cls(stored, stored)


class Source(Protocol):
    """An input of several partitions; used by one thread only, except for `on_revoke`'s callback.

    Partitions come to this process by some assignment; each is read only after `start`, under a claim of the ledger.
    All methods raise TransientError when the input cannot be reached.
    """

    def discover(self) -> Sequence[Partition]:
        """Return every partition of the input as far as it is known now, whoever reads it."""
        ...

    def poll(self, timeout_seconds: float) -> Sequence[Block]:
        """Return what has arrived, after at most about `timeout_seconds`; nothing while paused."""
        ...

    def unclaimed(self) -> Sequence[Partition]:
        """Return the partitions that are assigned to this process and not started."""
        ...

    def start(self, claim: Claim) -> Started:
        """Read on from the claim's offset, or from the beginning where it has none."""
        ...

    def release(self) -> None:
        """Stop reading all partitions; those still assigned become unclaimed."""
        ...

    def ends(self) -> Mapping[Partition, int]:
        """Return the started partitions of which everything there is has been returned by `poll`, with their position."""
        ...

    def lag(self) -> Mapping[str, int]:
        """Return about how many messages wait to be read in the started partitions, by their name."""
        ...

    def pause(self) -> None:
        """Return no blocks until `resume`; idempotent."""
        ...

    def resume(self) -> None:
        """Go on after `pause`; idempotent."""
        ...

    def acknowledge(self, committed: Mapping[Partition, int]) -> None:
        """Tell the input how far the ledger has come, as a hint for its own tools; never fails."""
        ...

    def on_revoke(self, callback: Callable[[], None]) -> None:
        """Set what is called, from any thread, before partitions go to another process; it returns within seconds."""
        ...

    def close(self) -> None:
        """Leave the input; idempotent."""
        ...
