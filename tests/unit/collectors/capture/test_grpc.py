from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest

from collectors.capture.grpc import CaptureClientInterceptor, CaptureServerInterceptor
from collectors.capture.tensors import tensor
from collectors.wire.messages import (
    ClassificationRequest,
    ClassificationResponse,
    PredictRequest,
    PredictResponse,
    RegressionRequest,
    RegressionResponse,
)
from tests.unit.collectors.capture.sinks import WAIT_SECONDS, World

SERVICE = "tensorflow.serving.PredictionService"


def predict(request: Any, context: Any) -> Any:
    if request.model_spec.name == "missing":
        context.abort(grpc.StatusCode.NOT_FOUND, "no such model")
    if request.model_spec.name == "breaks":
        raise ZeroDivisionError
    answer = PredictResponse(outputs={"y": tensor([0.5])})
    answer.model_spec.name = request.model_spec.name
    answer.model_spec.version.value = 3
    return answer


def classify(request: Any, context: Any) -> Any:
    answer = ClassificationResponse()
    answer.result.classifications.add().classes.add(label="cat", score=0.75)
    return answer


def regress(request: Any, context: Any) -> Any:
    answer = RegressionResponse()
    answer.result.regressions.add(value=1.5)
    return answer


def method(behave: Any, request: Any, response: Any) -> Any:
    return grpc.unary_unary_rpc_method_handler(behave, request.FromString, response.SerializeToString)


@contextmanager
def serving(*interceptors: Any) -> Iterator[Any]:
    """Run the service; yields a channel."""
    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads, interceptors=interceptors)
        handlers = {
            "Predict": method(predict, PredictRequest, PredictResponse),
            "Classify": method(classify, ClassificationRequest, ClassificationResponse),
            "Regress": method(regress, RegressionRequest, RegressionResponse),
            "GetModelMetadata": grpc.unary_unary_rpc_method_handler(lambda raw, _: raw),
        }
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
        server.stop(None).wait()


def stub(channel: Any, name: str = "Predict", request: Any = PredictRequest, response: Any = PredictResponse) -> Any:
    return channel.unary_unary(f"/{SERVICE}/{name}", request.SerializeToString, response.FromString)


def asking(model: str = "flights") -> Any:
    request = PredictRequest(inputs={"x": tensor([1.5])})
    request.model_spec.name = model
    request.model_spec.signature_name = "s"
    return request


@pytest.fixture(params=["server", "client"])
def side(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextmanager
def captured(side: str, world: World, **options: Any) -> Iterator[Any]:
    """Yield a channel on which calls are captured at one end or the other."""
    if side == "server":
        with serving(CaptureServerInterceptor(world.producer, **options)) as channel:
            yield channel
    else:
        with serving() as channel:
            yield grpc.intercept_channel(channel, CaptureClientInterceptor(world.producer, **options))
    world.producer.close(WAIT_SECONDS)


def test_a_call_is_answered_and_captured_with_the_version_that_answered(side: str) -> None:
    world = World.make()
    with captured(side, world) as channel:
        answer = stub(channel)(asking(), metadata=[("x-request-id", "abc")], timeout=WAIT_SECONDS)
        assert list(answer.outputs["y"].double_val) == [0.5]
    stated = world.sink.headers()
    assert stated["driftline-request-id"] == "abc"
    assert stated["driftline-model"] == "flights"
    assert stated["driftline-version"] == "3"
    assert stated["driftline-signature"] == "s"
    assert stated["driftline-status"] == "OK"
    (log,) = world.sink.logs()
    assert log.predict_log.request == asking()
    assert log.predict_log.response == answer


def test_classify_and_regress_are_captured_too(side: str) -> None:
    world = World.make()
    with captured(side, world) as channel:
        stub(channel, "Classify", ClassificationRequest, ClassificationResponse)(
            ClassificationRequest(), timeout=WAIT_SECONDS
        )
        stub(channel, "Regress", RegressionRequest, RegressionResponse)(RegressionRequest(), timeout=WAIT_SECONDS)
    first, second = world.sink.logs()
    assert first.classify_log.response.result.classifications[0].classes[0].label == "cat"
    assert second.regress_log.response.result.regressions[0].value == 1.5


@pytest.mark.parametrize(("model", "code"), [("missing", "NOT_FOUND"), ("breaks", "UNKNOWN")])
def test_a_call_that_fails_is_captured_with_its_code(side: str, model: str, code: str) -> None:
    world = World.make()
    with captured(side, world) as channel, pytest.raises(grpc.RpcError) as failed:
        stub(channel)(asking(model), timeout=WAIT_SECONDS)
    assert failed.value.code().name == code
    world.producer.close(WAIT_SECONDS)
    assert world.sink.headers()["driftline-status"] == code
    assert not world.sink.logs()[0].predict_log.HasField("response")


def test_other_methods_pass_untouched(side: str) -> None:
    world = World.make()
    with captured(side, world) as channel:
        assert channel.unary_unary(f"/{SERVICE}/GetModelMetadata")(b"raw", timeout=WAIT_SECONDS) == b"raw"
    assert world.totals() == {}


def test_an_id_is_made_where_there_is_none_and_returned() -> None:
    world = World.make()
    with captured("server", world) as channel:
        _, call = stub(channel).with_call(asking(), timeout=WAIT_SECONDS)
        ((_, made),) = [pair for pair in call.trailing_metadata() if pair[0] == "x-request-id"]
    assert world.sink.headers()["driftline-request-id"] == made


def test_client_and_server_capture_under_the_same_id() -> None:
    server, client = World.make(), World.make()
    with serving(CaptureServerInterceptor(server.producer)) as channel:
        stub(grpc.intercept_channel(channel, CaptureClientInterceptor(client.producer)))(asking(), timeout=WAIT_SECONDS)
    server.producer.close(WAIT_SECONDS)
    client.producer.close(WAIT_SECONDS)
    assert server.sink.messages[0].key == client.sink.messages[0].key


def test_what_the_sampler_leaves_out_and_what_is_too_large_is_served(side: str) -> None:
    for rate, limit, totals in [(1e-18, 2**20, {"sampled_out": 1}), (1.0, 10, {"too_large": 1})]:
        world = World.make(rate=rate)
        with captured(side, world, max_message_bytes=limit) as channel:
            assert stub(channel)(asking(), timeout=WAIT_SECONDS).model_spec.version.value == 3
        assert world.totals() == totals
