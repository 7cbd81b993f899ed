"""What `check` and `backtest` share: a quiet TensorFlow, and output files. Changes with those."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from monitor.errors import InputError

STDOUT = "-"


def quieten_tensorflow() -> None:
    """Keep TensorFlow's start-up messages away from people and pipes; only before its first import."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    # Beam and TFDV write their advice about optional packages to the root logger.
    for name in (None, "absl", "tensorflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


@contextmanager
def opened(output: str) -> Iterator[IO[str]]:
    """Yield a stream for a file that appears whole or not at all, or standard output for "-".

    Raises:
        InputError: the file cannot be written.
    """
    if output == STDOUT:
        yield sys.stdout
        return
    path = Path(output)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("w", encoding="utf-8") as stream:
            yield stream
        partial.replace(path)
    except OSError as error:
        raise InputError(f"{output}: cannot be written ({error.strerror or error})") from error
    finally:
        partial.unlink(missing_ok=True)
