"""What a SavedModel would do besides computing; changes with what an operation of TensorFlow can reach.

Importing TensorFlow's messages takes seconds: so does the first call.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monitor.errors import InputError

REFUSED = frozenset(
    {"EagerPyFunc", "MatchingFiles", "PyFunc", "PyFuncStateless", "ReadFile", "WholeFileReaderV2", "WriteFile"}
)
"""Operations that read or write files by name, or run Python: none of them is any use to who only predicts.

`saved_model_cli scan` of TensorFlow warns of the most important ones. Saving and restoring variables takes others, which every
SavedModel has and which can be misused too: a list is no sandbox, it only says what is wrong in plain words.
"""


def check_operations(folder: Path) -> None:
    """Raise InputError where a SavedModel has an operation that is refused, or cannot be read; says which."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    try:
        described = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    except DecodeError as error:
        raise InputError("saved_model.pb is no SavedModel") from error
    found = sorted({node.op for node in _nodes(described) if node.op in REFUSED or _prints_to_file(node)})
    if found:
        raise InputError(f"the model has the operation {found[0]}, which reaches for files or runs Python")


def _nodes(described: Any) -> Iterator[Any]:
    for graph in described.meta_graphs:
        yield from graph.graph_def.node
        for function in graph.graph_def.library.function:
            yield from function.node_def


def _prints_to_file(node: Any) -> bool:
    return node.op == "PrintV2" and bytes(node.attr["output_stream"].s).startswith(b"file:")
