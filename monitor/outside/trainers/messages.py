"""A request as JSON that fits into what carries it; changes with the limits of carriers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from monitor.act.retrain import Retrain
from monitor.act.trainer_request import request_of, without_spans
from monitor.errors import InputError

SERVER_BYTES = 1_000_000
"""Of a request in the body of a call: gRPC behind Kubeflow takes 4 MiB, what stands before other servers often 1 MB (nginx)."""
PARAMETER_BYTES = 60_000
"""Of a request as one text: GitHub takes inputs of 65,535 characters, Linux an environment variable of 128 KiB."""
MESSAGE_BYTES = 900_000
"""Of a request as a message: Kafka takes 1,048,588 bytes with its headers, where settings say nothing else."""


def fitting(retrain: Retrain, most_bytes: int) -> dict[str, Any]:
    """Return the request of a retrain, its spans told by folder and range only where they would make it too long.

    Raises:
        InputError: it is too long without them too.
    """
    request = request_of(retrain)
    if len(text_of(request)) > most_bytes:
        request = without_spans(request)
    if len(text_of(request)) > most_bytes:
        raise InputError(
            f"the request is longer than the {most_bytes} bytes that this trainer takes, even without its spans"
        )
    return request


def text_of(request: Mapping[str, Any]) -> str:
    """Return a request as one line of JSON, in ASCII."""
    return json.dumps(request, allow_nan=False, separators=(",", ":"))
