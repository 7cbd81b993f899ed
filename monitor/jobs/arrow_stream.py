"""A table as the Arrow C stream that other engines read without copying; changes with that interface only.

The PyCapsule interface (https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html) came with pyarrow 14;
the older of our two has only the C structures beneath it, and DuckDB reads no table of its kind.
"""

from __future__ import annotations

import ctypes
from typing import Any

import pyarrow as pa

_NAME = b"arrow_array_stream"
_POINTERS = 5
"""An ArrowArrayStream: get_schema, get_next, get_last_error, release and private_data."""


class ArrowStream:
    """Lends a table; it may be read any number of times, and must live as long as whoever reads it."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self._lent: list[Any] = []

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return a capsule that holds a new stream of the table."""
        reader = pa.RecordBatchReader.from_batches(self._table.schema, self._table.to_batches())
        if hasattr(reader, "__arrow_c_stream__"):
            return reader.__arrow_c_stream__(requested_schema)
        stream = (ctypes.c_void_p * _POINTERS)()
        reader._export_to_c(ctypes.addressof(stream))  # noqa: SLF001, the only way there is in pyarrow 10
        self._lent.append(stream)
        capsule = ctypes.pythonapi.PyCapsule_New
        capsule.restype = ctypes.py_object
        capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        return capsule(ctypes.addressof(stream), _NAME, None)
