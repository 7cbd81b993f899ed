"""The hash of request ids, on which sampling, canonical order and clusters agree; changes only if the contract does."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash


def hash_ids(ids: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    """Return xxh3_64 (seed 0) of each id's UTF-8 bytes, uint64 (n,).

    `ids` holds strings or bytes, or integers, which are hashed as their decimal text; raises ValueError for a null id and
    TypeError for another type.
    """
    if ids.null_count:
        raise ValueError("an id is null")
    if pa.types.is_integer(ids.type):
        ids = pc.cast(ids, pa.string())
    kind = ids.type
    if not (pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_string(kind)):
        raise TypeError(f"ids are strings, bytes or integers, not {kind}")
    if not len(ids):
        return np.empty(0, dtype=np.uint64)
    ids = pc.cast(ids, pa.large_binary())
    values = ids.to_numpy() if isinstance(ids, pa.ChunkedArray) else ids.to_numpy(zero_copy_only=False)
    return np.fromiter(map(xxhash.xxh3_64_intdigest, values), dtype=np.uint64, count=len(values))


def hash_text(text: str) -> int:
    """Return xxh3_64 (seed 0) of the text's UTF-8 bytes, as `hash_ids` does for ids."""
    return xxhash.xxh3_64_intdigest(text.encode())
