"""The model config as TensorFlow Serving's own messages read it, over a real gRPC connection."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager

import grpc  # type: ignore[import-untyped]
import pytest

from monitor.errors import InputError, TransientError
from monitor.outside.tf_serving.messages import ReloadConfigRequest, ReloadConfigResponse
from monitor.outside.tf_serving.reload import reload_config

CONFIG = """\
model_config_list {
  config { name: "other" base_path: "/models/other" model_type: TENSORFLOW logging_config { sampling_config
    { sampling_rate: 0.5 } log_collector_config { type: "file" filename_prefix: "x" } } }
  config {
    name: "flights"
    base_path: "gs://models/flights"
    model_platform: "tensorflow"
    model_version_policy { specific { versions: 41 versions: 42 } }
    version_labels { key: "canary" value: 42 }
    version_labels { key: "stable" value: 41 }
  }
}
"""


class _Service(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, answer: Callable[[bytes, grpc.ServicerContext], bytes]) -> None:
        self._answer = answer

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if details.method != "/tensorflow.serving.ModelService/HandleReloadConfigRequest":
            return None
        return grpc.unary_unary_rpc_method_handler(self._answer)


@contextmanager
def model_service(answer: Callable[[bytes, grpc.ServicerContext], bytes]) -> Iterator[str]:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((_Service(answer),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def test_the_server_gets_all_models() -> None:
    received: list[bytes] = []

    def answer(request: bytes, _context: grpc.ServicerContext) -> bytes:
        received.append(request)
        return b""

    with model_service(answer) as address:
        reload_config(address, CONFIG, None, 5)
    (config,) = (ReloadConfigRequest.FromString(one).config for one in received)
    assert [one.name for one in config.model_config_list.config] == ["other", "flights"]


_ORACLE = """
import sys
from google.protobuf import text_format
from tensorflow_serving.apis import model_management_pb2
sys.path.insert(0, ".")
from monitor.outside.tf_serving.messages import ReloadConfigRequest, model_server_config
text = sys.stdin.read()
ours = ReloadConfigRequest(config=model_server_config(text), metric_names=["a"])
theirs = text_format.Parse(text, model_management_pb2.ReloadConfigRequest().config)
decoded = model_management_pb2.ReloadConfigRequest.FromString(ours.SerializeToString())
assert decoded.config == theirs, (decoded, theirs)
assert list(decoded.metric_names) == ["a"]
print("the same")
"""


@pytest.mark.slow  # tensorflow-serving-api imports TensorFlow
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="tensorflow-serving-api is installed with Python 3.11 only")
def test_tensorflow_servings_own_messages_read_the_same() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _ORACLE],
        input=CONFIG,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"},
    )
    assert (done.stdout, done.returncode) == ("the same\n", 0), done.stderr


def test_a_refusal_in_the_answer_is_told() -> None:
    response = ReloadConfigResponse()
    response.status.error_code, response.status.error_message = 9, "Request to assign\nlabel to version 42"
    with (
        model_service(lambda _request, _context: response.SerializeToString()) as address,
        pytest.raises(InputError, match="refuses the model config: FAILED_PRECONDITION: Request to assign label to"),
    ):
        reload_config(address, CONFIG, None, 5)


@pytest.mark.parametrize(
    ("code", "error", "said"),
    [
        pytest.param(grpc.StatusCode.INVALID_ARGUMENT, InputError, "INVALID_ARGUMENT: no", id="what it does not take"),
        pytest.param(grpc.StatusCode.UNAVAILABLE, TransientError, "UNAVAILABLE", id="that it cannot be asked now"),
    ],
)
def test_a_failed_call_is_told(code: grpc.StatusCode, error: type[Exception], said: str) -> None:
    def answer(_request: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(code, "no")
        raise AssertionError

    with model_service(answer) as address, pytest.raises(error, match=said):
        reload_config(address, CONFIG, None, 5)


def test_nobody_there_is_asked_again_later() -> None:
    with pytest.raises(TransientError, match="gRPC port does not answer"):
        reload_config("127.0.0.1:1", CONFIG, None, 2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(
            'model_config_list { config { name: "flights" new_field: 1 } }', "new_field", id="a field that is not known"
        ),
        pytest.param("model_config_list {", "cannot be sent", id="half a config"),
    ],
)
def test_what_cannot_be_sent_whole_is_not_sent(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        reload_config("127.0.0.1:1", text, None, 2)
