"""Telling TensorFlow Serving its model config at once, over gRPC; changes with `ModelService`."""

from __future__ import annotations

from typing import Any

import grpc  # type: ignore[import-untyped]

from monitor.errors import InputError, TransientError
from monitor.outside.tf_serving.messages import ReloadConfigRequest, ReloadConfigResponse, model_server_config

METHOD = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"
_PASSING = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED}
)
_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}
_MAX_MESSAGE = 300


def reload_config(address: str, text: str, certificates: bytes | None, timeout_seconds: float) -> None:
    """Have the server at `address` (host:port) serve just what a config says: what that leaves out, it serves no more.

    Args:
        address: of its gRPC port.
        text: the whole config, of all models.
        certificates: PEM, whom to trust; None for a connection in the clear.
        timeout_seconds: how long the answer may take.

    Raises:
        TransientError: it does not answer.
        InputError: it refuses, or the config holds what cannot be sent.
    """
    request = ReloadConfigRequest(config=model_server_config(text))
    with _channel(address, certificates) as channel:
        call = channel.unary_unary(
            METHOD,
            request_serializer=ReloadConfigRequest.SerializeToString,
            response_deserializer=ReloadConfigResponse.FromString,
        )
        try:
            status = call(request, timeout=timeout_seconds).status
        except grpc.RpcError as error:
            raise _failure(address, error) from error
    if status.error_code:
        raise _refusal(address, status.error_code, status.error_message)


def _channel(address: str, certificates: bytes | None) -> Any:
    if certificates is None:
        return grpc.insecure_channel(address)
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(certificates))


def _failure(address: str, error: Any) -> Exception:
    if error.code() in _PASSING:
        return TransientError(f"{address}: TensorFlow Serving's gRPC port does not answer: {error.code().name}")
    return _refusal(address, error.code().value[0], error.details() or "")


def _refusal(address: str, code: int, message: str) -> InputError:
    said = " ".join(message.split())[:_MAX_MESSAGE]
    return InputError(f"{address}: TensorFlow Serving refuses the model config: {_NAMES.get(code, code)}: {said}")
