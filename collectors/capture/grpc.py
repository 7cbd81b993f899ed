"""Capture of PredictionService over gRPC: interceptors for servers and clients; changes with gRPC or with that service.

Works on the serialized messages, so it takes part in nobody's choice of message classes and imports no TensorFlow. The model
version is that of the answer's model_spec, which TensorFlow Serving fills in, else that of the request's.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import grpc  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError
from typing_extensions import override

from collectors.capture.exchange import Encoded, Exchange
from collectors.capture.metrics import Dropped
from collectors.capture.producer import CaptureProducer
from collectors.wire.messages import (
    ClassificationRequest,
    ClassificationResponse,
    PredictionLog,
    PredictRequest,
    PredictResponse,
    RegressionRequest,
    RegressionResponse,
)
from monitor.errors import InvalidRecord

_SERVICE = "/tensorflow.serving.PredictionService/"
_MAX_ID_LENGTH = 256


@dataclass(frozen=True, slots=True)
class _Method:
    field: str
    request: Any
    response: Any


_METHODS = {
    f"{_SERVICE}Predict": _Method("predict_log", PredictRequest, PredictResponse),
    f"{_SERVICE}Classify": _Method("classify_log", ClassificationRequest, ClassificationResponse),
    f"{_SERVICE}Regress": _Method("regress_log", RegressionRequest, RegressionResponse),
}


@dataclass(frozen=True, slots=True)
class _Calls:
    """What the interceptors of both sides share."""

    producer: CaptureProducer
    request_id_header: str
    max_message_bytes: int

    def request_id(self, metadata: Sequence[tuple[str, Any]] | None) -> tuple[str, bool]:
        """Return the id that a call's metadata holds, or a new one, and whether it is new."""
        for key, value in metadata or ():
            if key.lower() == self.request_id_header and isinstance(value, str) and 0 < len(value) <= _MAX_ID_LENGTH:
                return value, False
        return uuid.uuid4().hex, True

    def began(self) -> tuple[Any, float]:
        """Return the event time, and the start of the latency."""
        return self.producer.clock.now(), self.producer.clock.monotonic()

    def offer(
        self,
        method: _Method,
        request_id: str,
        began: tuple[Any, float],
        request: bytes,
        response: bytes | None,
        code: str,
    ) -> None:
        """Hand over a call; its response is None where it failed."""
        size = len(request) + len(response or b"")
        if size > self.max_message_bytes:
            self.producer.metrics.dropped(Dropped.TOO_LARGE)
            return
        event_time, start = began
        latency_seconds = self.producer.clock.monotonic() - start

        def encoded() -> Encoded:
            return _encode(method, request, response)

        self.producer.offer(Exchange(request_id, event_time, code, size, encoded, latency_seconds))


class CaptureServerInterceptor(grpc.ServerInterceptor):  # type: ignore[misc]
    """For `grpc.server(..., interceptors=[...])`; other methods than Predict, Classify and Regress pass untouched.

    A call without an id gets one, which is returned in the trailing metadata, unless the servicer sets its own.
    """

    def __init__(
        self,
        producer: CaptureProducer,
        *,
        request_id_header: str = "x-request-id",
        max_message_bytes: int = 2**20,
    ) -> None:
        """Capture to `producer`; calls with more than `max_message_bytes`, both ways together, are not captured."""
        self._calls = _Calls(producer, request_id_header.lower(), max_message_bytes)

    @override
    def intercept_service(self, continuation: Callable[[Any], Any], handler_call_details: Any) -> Any:
        """Return the handler of a method, wrapped where it is one to capture."""
        handler = continuation(handler_call_details)
        method = _METHODS.get(handler_call_details.method)
        if method is None or handler is None or handler.unary_unary is None:
            return handler
        return grpc.unary_unary_rpc_method_handler(self._wrapped(method, handler))

    def _wrapped(self, method: _Method, handler: Any) -> Callable[[bytes, Any], bytes]:
        read = handler.request_deserializer or bytes
        write = handler.response_serializer or bytes
        calls = self._calls

        def behave(raw: bytes, context: Any) -> bytes:
            request_id, _ = calls.request_id(context.invocation_metadata())
            context.set_trailing_metadata(((calls.request_id_header, request_id),))
            kept = calls.producer.wants(request_id)
            began = calls.began()
            answer: bytes | None = None
            try:
                answered = handler.unary_unary(read(raw), context)
                answer = write(answered)
            finally:
                if kept:
                    code = context.code()
                    failed = answer is None or (code is not None and code != grpc.StatusCode.OK)
                    name = "OK" if not failed else getattr(code, "name", None) or "UNKNOWN"
                    calls.offer(method, request_id, began, raw, None if failed else answer, name)
            return answer

        return behave


class _Details(NamedTuple):
    method: str
    timeout: float | None
    metadata: Sequence[tuple[str, Any]]
    credentials: Any
    wait_for_ready: bool | None
    compression: Any


class _ClientCallDetails(_Details, grpc.ClientCallDetails):  # type: ignore[misc]
    """gRPC's own class has no constructor."""


class CaptureClientInterceptor(grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc]
    """For `grpc.intercept_channel(channel, ...)`: captures what this client asks PredictionService.

    A request id is sent along, where the metadata holds none.
    """

    def __init__(
        self,
        producer: CaptureProducer,
        *,
        request_id_header: str = "x-request-id",
        max_message_bytes: int = 2**20,
    ) -> None:
        """Capture to `producer`; calls with more than `max_message_bytes`, both ways together, are not captured."""
        self._calls = _Calls(producer, request_id_header.lower(), max_message_bytes)

    @override
    def intercept_unary_unary(
        self, continuation: Callable[[Any, Any], Any], client_call_details: Any, request: Any
    ) -> Any:
        """Make the call, and capture it when it is done."""
        details, calls = client_call_details, self._calls
        name = details.method.decode() if isinstance(details.method, bytes) else details.method
        method = _METHODS.get(name)
        if method is None:
            return continuation(details, request)
        request_id, made = calls.request_id(details.metadata)
        if made:
            details = _ClientCallDetails(
                details.method,
                details.timeout,
                [*(details.metadata or ()), (calls.request_id_header, request_id)],
                details.credentials,
                getattr(details, "wait_for_ready", None),
                getattr(details, "compression", None),
            )
        if not calls.producer.wants(request_id):
            return continuation(details, request)
        raw, began = _serialized(request), calls.began()
        call = continuation(details, request)

        def done(ended: Any) -> None:
            code = ended.code()
            answer = _serialized(ended.result()) if code == grpc.StatusCode.OK else None
            if raw is None or (answer is None and code == grpc.StatusCode.OK):
                calls.producer.metrics.dropped(Dropped.UNREADABLE)
            else:
                calls.offer(method, request_id, began, raw, answer, getattr(code, "name", "UNKNOWN"))

        call.add_done_callback(done)
        return call


def _serialized(message: Any) -> bytes | None:
    """Return the bytes of a message; None where a client uses something else than protobuf's classes or bytes."""
    if isinstance(message, bytes):
        return message
    serialize = getattr(message, "SerializeToString", None)
    return None if serialize is None else bytes(serialize())


def _encode(method: _Method, request: bytes, response: bytes | None) -> Encoded:
    """Return the PredictionLog around two serialized messages; raises InvalidRecord where they are not what they should be."""
    log = PredictionLog()
    pair = getattr(log, method.field)
    try:
        pair.request.MergeFromString(request)
        if response is not None:
            pair.response.MergeFromString(response)
    except DecodeError as error:
        raise InvalidRecord("not a message of PredictionService") from error
    asked, answered = pair.request.model_spec, pair.response.model_spec
    version = answered.version.value or asked.version.value
    return Encoded(log.SerializeToString(), asked.name, str(version) if version else "", asked.signature_name)
