"""Which version answers a request that names none: what a router in front of TensorFlow Serving does. Pure."""

from __future__ import annotations

from collections.abc import Collection

import xxhash

STABLE, CANARY = "stable", "canary"
_SEED = 1
"""Not that of the sampler, whose choice would otherwise be the router's: a sample would hold no canary, or nothing else."""


def label_for(request_id: bytes, labels: Collection[str], canary_share: float) -> str | None:
    """Return the label that is asked: the canary's for a share of the ids, else the stable one; None where it is not there.

    A request without an id is none of the canary's, and the same id always gets the same answer.
    """
    if CANARY in labels and request_id and xxhash.xxh3_64_intdigest(request_id, _SEED) < canary_share * 2**64:
        return CANARY
    return STABLE if STABLE in labels else None
