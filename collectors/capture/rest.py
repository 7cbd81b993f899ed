"""TensorFlow Serving's REST API to PredictionLog; changes when that API does.

Source: https://www.tensorflow.org/tfx/serving/api_rest. A predict request has `instances` (rows: a value each, or an object
of named inputs) or `inputs` (columns); its answer has `predictions` or `outputs`. Bytes are written `{"b64": ...}`. Classify and
regress requests have `examples` and maybe a `context`; their answers have `results` (`result` in the documentation).
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote

from collectors.capture.exchange import Encoded
from collectors.capture.tensors import INPUT, OUTPUT, as_bytes, is_base64, model_spec, tensor, tensors_of_rows
from collectors.wire.messages import (
    ClassificationResult,
    Classifications,
    Example,
    Feature,
    Input,
    PredictionLog,
    RegressionResult,
)
from collectors.wire.parsing import parse_object
from monitor.errors import InvalidRecord

_PATH = re.compile(
    r"/v1/models/(?P<model>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?:(?P<verb>predict|classify|regress)"
)
_OK = 200

Verb = Literal["predict", "classify", "regress"]


@dataclass(frozen=True, slots=True)
class Target:
    """What a path asks for; `version` and `label` are empty where the path has none."""

    model: str
    verb: Verb
    version: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class Served:
    """What is known of a model besides a request: which version answers by default, or by a label, and names by signature."""

    version: str = ""
    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    outputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    label: str = ""


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes as they were sent, with their Content-Encoding."""

    content: bytes
    encoding: str = ""

    def decoded(self, max_bytes: int) -> bytes:
        """Return the plain bytes.

        Raises:
            InvalidRecord: an unknown or broken encoding, or more than `max_bytes`.
        """
        encoding = self.encoding.strip().lower()
        if encoding in ("", "identity"):
            plain = self.content
        elif encoding in ("gzip", "x-gzip"):
            plain = self._unzipped(max_bytes)
        elif encoding == "deflate":
            plain = self._inflated(max_bytes)
        else:
            raise InvalidRecord("a content encoding that is not known")
        if len(plain) > max_bytes:
            raise InvalidRecord("a body beyond the limit")
        return plain

    def _unzipped(self, max_bytes: int) -> bytes:
        try:
            with gzip.open(io.BytesIO(self.content)) as stream:
                return bytes(stream.read(max_bytes + 1))
        except (OSError, EOFError, zlib.error) as error:
            raise InvalidRecord("a compressed body cannot be read") from error

    def _inflated(self, max_bytes: int) -> bytes:
        try:
            return zlib.decompressobj().decompress(self.content, max_bytes + 1)
        except zlib.error as error:
            raise InvalidRecord("a compressed body cannot be read") from error


def target_of(path: str) -> Target | None:
    """Return what a path asks for, with or without a query; None where it is not an inference."""
    found = _PATH.fullmatch(path.partition("?")[0])
    if found is None:
        return None
    verb: Any = found["verb"]
    return Target(unquote(found["model"]), verb, found["version"] or "", unquote(found["label"] or ""))


def encode(target: Target, request: bytes, response: bytes, status: int, served: Served) -> Encoded:
    """Return the PredictionLog of one REST call; its response is left out where the status is not 200.

    The version is that of the path, else the one served by default, or by the label of the path; it is left empty for a label
    of which `served` tells nothing, since only the server knows which version that is.

    Raises:
        InvalidRecord: a body is not what the API says.
    """
    asked = parse_object(request)
    answered = parse_object(response) if status == _OK else None
    signature = asked.get("signature_name") or ""
    if not isinstance(signature, str):
        raise InvalidRecord("a signature name that is no text")
    version = target.version or (served.version if served.label == target.label else "")
    log = PredictionLog()
    logs = {"predict": log.predict_log, "classify": log.classify_log, "regress": log.regress_log}
    pair = logs[target.verb]
    spec = model_spec(target.model, signature, version, "" if version else target.label)
    pair.request.model_spec.CopyFrom(spec)
    if answered is not None:
        pair.response.model_spec.CopyFrom(spec)
    if target.verb == "predict":
        _predict(pair, asked, answered, signature or "serving_default", served)
    else:
        pair.request.input.CopyFrom(_examples(asked))
        if answered is not None:
            results = answered.get("results", answered.get("result"))
            pair.response.result.CopyFrom((_classified if target.verb == "classify" else _regressed)(results))
    return Encoded(log.SerializeToString(), target.model, version, signature)


def _predict(
    pair: Any, asked: dict[str, object], answered: dict[str, object] | None, signature: str, served: Served
) -> None:
    columns = _tensors(asked, "instances", "inputs", _only(served.inputs, signature, INPUT))
    for name, made in columns.items():
        pair.request.inputs[name].CopyFrom(made)
    if answered is None:
        return
    for name, made in _tensors(answered, "predictions", "outputs", _only(served.outputs, signature, OUTPUT)).items():
        pair.response.outputs[name].CopyFrom(made)


def _only(names: Mapping[str, tuple[str, ...]], signature: str, otherwise: str) -> str:
    known = names.get(signature, ())
    return known[0] if len(known) == 1 else otherwise


def _tensors(body: dict[str, object], rows: str, columns: str, unnamed: str) -> dict[str, Any]:
    if (rows in body) == (columns in body):
        raise InvalidRecord("neither rows nor columns, or both")
    if rows in body:
        listed = body[rows]
        if not isinstance(listed, list):
            raise InvalidRecord("rows that are no list")
        return tensors_of_rows(listed, unnamed)
    given = body[columns]
    if isinstance(given, dict) and not is_base64(given):
        return {name: tensor(value) for name, value in given.items()}
    return {unnamed: tensor(given)}


def _examples(body: dict[str, object]) -> Any:
    examples, context = body.get("examples"), body.get("context")
    if not isinstance(examples, list) or not examples:
        raise InvalidRecord("a request without examples")
    made = Input()
    if context is None:
        made.example_list.examples.extend(map(_example, examples))
    else:
        made.example_list_with_context.examples.extend(map(_example, examples))
        made.example_list_with_context.context.CopyFrom(_example(context))
    return made


def _example(values: object) -> Any:
    if not isinstance(values, dict):
        raise InvalidRecord("an example that is no object")
    example = Example()
    for name, value in values.items():
        example.features.feature[name].CopyFrom(_feature(value if isinstance(value, list) else [value]))
    return example


def _feature(values: list[Any]) -> Any:
    kinds = set(map(type, values))
    feature = Feature()
    try:
        if kinds <= {int, bool}:
            feature.int64_list.value.extend(map(int, values))
        elif kinds <= {int, float}:
            feature.float_list.value.extend(values)
        else:
            feature.bytes_list.value.extend(map(as_bytes, values))
    except (ValueError, OverflowError) as error:
        raise InvalidRecord("a number beyond what an example holds") from error
    return feature


def _classified(results: object) -> Any:
    if not isinstance(results, list):
        raise InvalidRecord("an answer without results")
    made = ClassificationResult()
    for classes in results:
        found = Classifications()
        for pair in classes if isinstance(classes, list) else [None]:
            if not (isinstance(pair, list) and len(pair) == 2 and isinstance(pair[1], int | float)):
                raise InvalidRecord("a class that is no label with a score")
            found.classes.add(label=str(pair[0]), score=pair[1])
        made.classifications.append(found)
    return made


def _regressed(results: object) -> Any:
    if not isinstance(results, list) or not all(type(value) in (int, float) for value in results):
        raise InvalidRecord("an answer without results")
    made = RegressionResult()
    for value in results:
        made.regressions.add(value=value)
    return made
