"""A SavedModel that answers several requests with one run; changes with how TensorFlow runs it.

This module may import TensorFlow, but only inside its functions: that takes ten seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monitor.demo.rest import Array, Call, InvalidArgument, Signature

_MAX_MESSAGE = 300
_DEFAULT = "serving_default"
_INTERNAL = "__saved_model_init_op"


def latest(base: Path) -> SavedModel | None:
    """Load the highest version that lies in `base`; None if there is none."""
    versions = [path for path in base.glob("*") if path.name.isdigit() and (path / "saved_model.pb").is_file()]
    return SavedModel(max(versions, key=lambda path: int(path.name))) if versions else None


class SavedModel:
    """`monitor.demo.versions.Servable` of one SavedModel, whose folder has the name of its version."""

    def __init__(self, folder: Path) -> None:
        """Load it."""
        import tensorflow as tf
        from google.protobuf.json_format import MessageToDict
        from tensorflow.core.framework import types_pb2
        from tensorflow.core.protobuf import saved_model_pb2

        described = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
        definitions = {
            name: definition for name, definition in described.meta_graphs[0].signature_def.items() if name != _INTERNAL
        }
        self.version = folder.name
        self.default = _DEFAULT
        self.metadata: dict[str, object] = {
            name: MessageToDict(definition, preserving_proto_field_name=True)
            for name, definition in sorted(definitions.items())
        }
        self.signatures = {
            name: Signature(
                {one: types_pb2.DataType.Name(info.dtype) for one, info in definition.inputs.items()},
                sorted(definition.outputs),
            )
            for name, definition in definitions.items()
        }
        # A session's callable costs a quarter of what a signature of `tf.saved_model.load` costs, and is what TensorFlow
        # Serving runs too.
        v1 = tf.compat.v1
        v1.logging.set_verbosity(v1.logging.ERROR)
        self._session = v1.Session(graph=tf.Graph(), config=_one_thread(v1))
        with self._session.graph.as_default():
            v1.saved_model.loader.load(self._session, ["serve"], str(folder))
        self._callables = {
            name: (
                list(definition.inputs),
                sorted(definition.outputs),
                self._session.make_callable(
                    [definition.outputs[one].name for one in sorted(definition.outputs)],
                    [info.name for info in definition.inputs.values()],
                ),
            )
            for name, definition in definitions.items()
        }

    def run(self, calls: list[Call]) -> list[dict[str, Array] | InvalidArgument]:
        """Return the outputs of each call, or what was wrong with it; calls that fit behind each other run together."""
        groups: dict[object, list[int]] = {}
        for at, call in enumerate(calls):
            groups.setdefault(_fits(call) or at, []).append(at)
        found: list[dict[str, Array] | InvalidArgument] = [{}] * len(calls)
        for members in groups.values():
            outputs = self._together([calls[at] for at in members])
            for at, one in zip(members, outputs, strict=True):
                found[at] = one
        return found

    def _together(self, calls: Sequence[Call]) -> list[dict[str, Array] | InvalidArgument]:
        if len(calls) == 1:
            return [self._once(calls[0].signature, calls[0].inputs)]
        names = calls[0].inputs
        outputs = self._once(
            calls[0].signature, {name: np.concatenate([c.inputs[name] for c in calls]) for name in names}
        )
        sizes = [call.rows or 0 for call in calls]
        if isinstance(outputs, InvalidArgument) or any(
            not array.ndim or len(array) != sum(sizes) for array in outputs.values()
        ):
            # One of them is wrong, or the model mixes rows: each for itself.
            return [self._once(call.signature, call.inputs) for call in calls]
        ends = np.cumsum(sizes)[:-1]
        parts = {name: np.split(array, ends) for name, array in outputs.items()}
        return [{name: split[at] for name, split in parts.items()} for at in range(len(calls))]

    def _once(self, signature: str, inputs: Any) -> dict[str, Array] | InvalidArgument:
        import tensorflow as tf

        names, outputs, run = self._callables[signature]
        try:
            found = run(*(inputs[name] for name in names))
        except (tf.errors.OpError, ValueError, TypeError) as error:
            return InvalidArgument(" ".join(str(error).split())[:_MAX_MESSAGE])
        return dict(zip(outputs, found, strict=True))


def _one_thread(v1: Any) -> Any:
    """Return the settings of a session: one small network at a time gains nothing from several threads."""
    return v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)


def _fits(call: Call) -> object:
    """Return what calls that can run together have in common; None for one that must run alone."""
    if not call.rows:
        return None
    return call.signature, tuple(
        (name, array.dtype.str, array.shape[1:]) for name, array in sorted(call.inputs.items())
    )
