"""TensorFlow Serving's messages of its model config, without TensorFlow; changes when their definitions do.

Messages of our own, with TensorFlow Serving's names and field numbers under a package name of our own, read and write the same
text and the same bytes as `tensorflow_serving.apis` does, which imports TensorFlow. Sources: tensorflow_serving/config/
{model_server_config,file_system_storage_path_source,logging_config,log_collector_config}.proto and tensorflow_serving/apis/
{model_management,status}.proto. A map is written as its entries, which are the same on the wire and in text.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from monitor.errors import InputError

PACKAGE: Final = "driftline.tf_serving"

_SPECIFICATION: Final = {
    "Latest": "num_versions 1 uint32",
    "All": "",
    "Specific": "versions 1 int64*",
    "VersionPolicy": "latest 100 Latest | all 101 All | specific 102 Specific",
    "VersionLabel": "key 1 string | value 2 int64",
    "LogCollectorConfig": "type 1 string | filename_prefix 2 string",
    "SamplingConfig": "sampling_rate 1 double | attributes 2 int32",
    "LoggingConfig": "log_collector_config 1 LogCollectorConfig | sampling_config 2 SamplingConfig",
    "ModelConfig": "name 1 string | base_path 2 string | model_type 3 ModelType | model_platform 4 string"
    " | logging_config 6 LoggingConfig | model_version_policy 7 VersionPolicy | version_labels 8 VersionLabel*",
    "ModelConfigList": "config 1 ModelConfig*",
    "ModelServerConfig": "model_config_list 1 ModelConfigList",
    "StatusProto": "error_code 1 int32 | error_message 2 string",
    "ReloadConfigRequest": "config 1 ModelServerConfig | metric_names 2 string*",
    "ReloadConfigResponse": "status 1 StatusProto",
}
"""Fields of each message: name, number and type, `*` for repeated."""

_ENUM: Final = ("ModelType", ("MODEL_TYPE_UNSPECIFIED", "TENSORFLOW", "OTHER"))
_SCALARS: Final = {"double": 1, "int64": 3, "int32": 5, "string": 9, "uint32": 13}
_MESSAGE, _ENUM_TYPE = 11, 14
_OPTIONAL, _REPEATED = 1, 3


def _define() -> dict[str, Any]:
    """Return the message classes by name."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{PACKAGE}.proto", package=PACKAGE, syntax="proto3")
    enum = file.enum_type.add(name=_ENUM[0])
    for number, name in enumerate(_ENUM[1]):
        enum.value.add(name=name, number=number)
    for name, fields in _SPECIFICATION.items():
        message = file.message_type.add(name=name)
        for field in filter(None, fields.split(" | ")):
            field_name, number_text, kind = field.split()
            added = message.field.add(name=field_name, number=int(number_text))
            added.label = _REPEATED if kind.endswith("*") else _OPTIONAL
            kind = kind.rstrip("*")
            if kind in _SCALARS:
                added.type = _SCALARS[kind]
            else:
                added.type = _ENUM_TYPE if kind == _ENUM[0] else _MESSAGE
                added.type_name = f".{PACKAGE}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
        for name in _SPECIFICATION
    }


_CLASSES: Final = _define()

ModelServerConfig: Any = _CLASSES["ModelServerConfig"]
ReloadConfigRequest: Any = _CLASSES["ReloadConfigRequest"]
ReloadConfigResponse: Any = _CLASSES["ReloadConfigResponse"]


def model_server_config(text: str) -> Any:
    """Return a whole config as a message.

    Raises:
        InputError: it holds what cannot be sent, because it is not known here.
    """
    try:
        return text_format.Parse(text, ModelServerConfig())
    except text_format.ParseError as error:
        raise InputError(
            f"the model config cannot be sent, only written: {str(error).removeprefix('None:')}"
        ) from error
