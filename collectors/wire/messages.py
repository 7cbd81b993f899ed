"""TensorFlow Serving's logged messages and tf.Example, without TensorFlow; changes when their definitions do.

Messages of our own, with TensorFlow Serving's names and field numbers under a package name of our own, read and write the same
bytes as `tensorflow_serving.apis` does, which imports TensorFlow. Sources: tensorflow_serving/apis/{prediction_log,predict,
classification,regression,inference,input,model,logging,session_service}.proto and tensorflow/core/{example/{example,
feature},framework/{tensor,tensor_shape,types},protobuf/named_tensor}.proto. What nothing here reads (run options and metadata,
resource handles, variants) is left out and is kept as unknown fields.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE: Final = "driftline.serving"

_SPECIFICATION = """
Int64Value: value 1 int64
ModelSpec: name 1 string | version 2 Int64Value in version_choice | version_label 4 string in version_choice
    | signature_name 3 string
SamplingConfig: sampling_rate 1 double | attributes 2 int32
LogMetadata: model_spec 1 ModelSpec | sampling_config 2 SamplingConfig | saved_model_tags 3 string* | timestamp_secs 4 int64
    | dc 5 string | request_origin 6 string | request_criticality 7 string
BytesList: value 1 bytes*
FloatList: value 1 float*
Int64List: value 1 int64*
Feature: bytes_list 1 BytesList in kind | float_list 2 FloatList in kind | int64_list 3 Int64List in kind
Features: feature 1 map Feature
Example: features 1 Features
ExampleList: examples 1 Example*
ExampleListWithContext: examples 1 Example* | context 2 Example
Input: example_list 1 ExampleList in kind | example_list_with_context 2 ExampleListWithContext in kind
Dim: size 1 int64 | name 2 string
TensorShapeProto: dim 2 Dim* | unknown_rank 3 bool
TensorProto: dtype 1 int32 | tensor_shape 2 TensorShapeProto | version_number 3 int32 | tensor_content 4 bytes
    | half_val 13 int32* | float_val 5 float* | double_val 6 double* | int_val 7 int32* | string_val 8 bytes*
    | scomplex_val 9 float* | int64_val 10 int64* | bool_val 11 bool* | dcomplex_val 12 double* | uint32_val 16 uint32*
    | uint64_val 17 uint64* | float8_val 18 bytes
NamedTensorProto: name 1 string | tensor 2 TensorProto
PredictRequest: model_spec 1 ModelSpec | inputs 2 map TensorProto | output_filter 3 string*
PredictResponse: model_spec 2 ModelSpec | outputs 1 map TensorProto
PredictLog: request 1 PredictRequest | response 2 PredictResponse
PredictStreamedLog: request 1 PredictRequest* | response 2 PredictResponse*
Class: label 1 string | score 2 float
Classifications: classes 1 Class*
ClassificationResult: classifications 1 Classifications*
ClassificationRequest: model_spec 1 ModelSpec | input 2 Input
ClassificationResponse: model_spec 2 ModelSpec | result 1 ClassificationResult
ClassifyLog: request 1 ClassificationRequest | response 2 ClassificationResponse
Regression: value 1 float
RegressionResult: regressions 1 Regression*
RegressionRequest: model_spec 1 ModelSpec | input 2 Input
RegressionResponse: model_spec 2 ModelSpec | result 1 RegressionResult
RegressLog: request 1 RegressionRequest | response 2 RegressionResponse
InferenceTask: model_spec 1 ModelSpec | method_name 2 string
InferenceResult: model_spec 1 ModelSpec | classification_result 2 ClassificationResult in result
    | regression_result 3 RegressionResult in result
MultiInferenceRequest: tasks 1 InferenceTask* | input 2 Input
MultiInferenceResponse: results 1 InferenceResult*
MultiInferenceLog: request 1 MultiInferenceRequest | response 2 MultiInferenceResponse
SessionRunRequest: model_spec 1 ModelSpec | feed 2 NamedTensorProto* | fetch 3 string* | target 4 string*
    | tensor_name_is_alias 6 bool
SessionRunResponse: model_spec 3 ModelSpec | tensor 1 NamedTensorProto*
SessionRunLog: request 1 SessionRunRequest | response 2 SessionRunResponse
PredictionLog: log_metadata 1 LogMetadata | classify_log 2 ClassifyLog in log_type | regress_log 3 RegressLog in log_type
    | predict_log 6 PredictLog in log_type | predict_streamed_log 7 PredictStreamedLog in log_type
    | multi_inference_log 4 MultiInferenceLog in log_type | session_run_log 5 SessionRunLog in log_type
"""
"""A line a message: `field number type`, `*` for repeated, `map` for a map from strings, `in` a oneof."""

_SCALARS: Final = {
    "double": 1,
    "float": 2,
    "int64": 3,
    "uint64": 4,
    "int32": 5,
    "bool": 8,
    "string": 9,
    "bytes": 12,
    "uint32": 13,
}
_MESSAGE: Final = 11
_OPTIONAL, _REPEATED = 1, 3


class DataType(IntEnum):
    """Element types of a tensor, numbered as in tensorflow/core/framework/types.proto."""

    DT_INVALID = 0
    DT_FLOAT = 1
    DT_DOUBLE = 2
    DT_INT32 = 3
    DT_UINT8 = 4
    DT_INT16 = 5
    DT_INT8 = 6
    DT_STRING = 7
    DT_COMPLEX64 = 8
    DT_INT64 = 9
    DT_BOOL = 10
    DT_BFLOAT16 = 14
    DT_UINT16 = 17
    DT_COMPLEX128 = 18
    DT_HALF = 19
    DT_RESOURCE = 20
    DT_VARIANT = 21
    DT_UINT32 = 22
    DT_UINT64 = 23


def _define(package: str, specification: str) -> dict[str, Any]:
    """Return the message classes by name."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for line in specification.replace("\n    |", " |").strip().splitlines():
        name, _, fields = line.partition(": ")
        _describe(package, file.message_type.add(name=name), fields.split(" | "))
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return {
        message.name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{message.name}"))
        for message in file.message_type
    }


def _describe(package: str, message: Any, fields: list[str]) -> None:
    for field in fields:
        name, number, *kind = field.split()
        if kind[0] == "map":
            entry = message.nested_type.add(name=f"{name.title()}Entry")
            entry.options.map_entry = True
            _add(package, entry, "key", 1, "string")
            _add(package, entry, "value", 2, kind[1])
            message.field.add(
                name=name,
                number=int(number),
                label=_REPEATED,
                type=_MESSAGE,
                type_name=f".{package}.{message.name}.{entry.name}",
            )
            continue
        added = _add(package, message, name, int(number), kind[0])
        if len(kind) > 1:
            choices = [choice.name for choice in message.oneof_decl]
            if kind[2] not in choices:
                message.oneof_decl.add(name=kind[2])
                choices.append(kind[2])
            added.oneof_index = choices.index(kind[2])


def _add(package: str, message: Any, name: str, number: int, kind: str) -> Any:
    label = _REPEATED if kind.endswith("*") else _OPTIONAL
    kind = kind.rstrip("*")
    if kind in _SCALARS:
        return message.field.add(name=name, number=number, label=label, type=_SCALARS[kind])
    return message.field.add(name=name, number=number, label=label, type=_MESSAGE, type_name=f".{package}.{kind}")


_CLASSES: Final = _define(PACKAGE, _SPECIFICATION)

ModelSpec: Any = _CLASSES["ModelSpec"]
LogMetadata: Any = _CLASSES["LogMetadata"]
SamplingConfig: Any = _CLASSES["SamplingConfig"]
Feature: Any = _CLASSES["Feature"]
Features: Any = _CLASSES["Features"]
Example: Any = _CLASSES["Example"]
ExampleList: Any = _CLASSES["ExampleList"]
ExampleListWithContext: Any = _CLASSES["ExampleListWithContext"]
Input: Any = _CLASSES["Input"]
TensorShapeProto: Any = _CLASSES["TensorShapeProto"]
TensorProto: Any = _CLASSES["TensorProto"]
NamedTensorProto: Any = _CLASSES["NamedTensorProto"]
PredictRequest: Any = _CLASSES["PredictRequest"]
PredictResponse: Any = _CLASSES["PredictResponse"]
PredictLog: Any = _CLASSES["PredictLog"]
PredictStreamedLog: Any = _CLASSES["PredictStreamedLog"]
Classifications: Any = _CLASSES["Classifications"]
ClassificationRequest: Any = _CLASSES["ClassificationRequest"]
ClassificationResponse: Any = _CLASSES["ClassificationResponse"]
ClassificationResult: Any = _CLASSES["ClassificationResult"]
ClassifyLog: Any = _CLASSES["ClassifyLog"]
RegressionRequest: Any = _CLASSES["RegressionRequest"]
RegressionResponse: Any = _CLASSES["RegressionResponse"]
RegressionResult: Any = _CLASSES["RegressionResult"]
RegressLog: Any = _CLASSES["RegressLog"]
InferenceTask: Any = _CLASSES["InferenceTask"]
InferenceResult: Any = _CLASSES["InferenceResult"]
MultiInferenceRequest: Any = _CLASSES["MultiInferenceRequest"]
MultiInferenceResponse: Any = _CLASSES["MultiInferenceResponse"]
MultiInferenceLog: Any = _CLASSES["MultiInferenceLog"]
SessionRunRequest: Any = _CLASSES["SessionRunRequest"]
SessionRunResponse: Any = _CLASSES["SessionRunResponse"]
SessionRunLog: Any = _CLASSES["SessionRunLog"]
PredictionLog: Any = _CLASSES["PredictionLog"]

# For reading fast: packed floats are their own little-endian bytes (a sender that does not pack them leaves these fields empty,
# and is read by `TensorProto`), and shapes and model specs, which repeat from message to message, are looked up by their bytes.
_PACKED: Final = _define(
    f"{PACKAGE}.packed",
    _SPECIFICATION.replace("float_val 5 float*", "float_val 5 bytes*")
    .replace("double_val 6 double*", "double_val 6 bytes*")
    .replace("tensor_shape 2 TensorShapeProto", "tensor_shape 2 bytes")
    .replace(" ModelSpec", " bytes"),
)
PackedPredictionLog: Any = _PACKED["PredictionLog"]
"""`PredictionLog` with the bytes of every `model_spec`, `tensor_shape`, `float_val` and `double_val`."""
PackedTensorProto: Any = _PACKED["TensorProto"]
