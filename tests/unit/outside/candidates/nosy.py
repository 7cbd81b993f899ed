"""What somebody might try who got their code into the process of a candidate; prints the names of what worked."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from monitor.outside.candidates.confine import Limits, confine, end_with, limit


def attempts(folder: Path, outside: Path, port: int) -> dict[str, Callable[[], object]]:
    """Return what is tried, by name; what does not work raises an error."""
    parent = os.getppid()
    return {
        "own_environment": lambda: _found(b"SECRET", Path("/proc/self/environ").read_bytes()),
        "environment_of_parent": lambda: _found(b"", Path(f"/proc/{parent}/environ").read_bytes()),
        "memory_of_parent": lambda: Path(f"/proc/{parent}/mem").open("rb"),
        "read_outside": (outside / "secret").read_bytes,
        "list_outside": lambda: list(outside.iterdir()),
        "write_outside": lambda: (outside / "written").write_bytes(b"x"),
        "replace_outside": lambda: (outside / "secret").write_bytes(b"x"),
        "delete_outside": (outside / "secret").unlink,
        "make_folder_outside": (outside / "folder").mkdir,
        "link_to_outside": lambda: os.link(outside / "secret", folder / "linked"),
        "read_through_link": lambda: _linked(folder, outside).read_bytes(),
        "connect": lambda: socket.create_connection(("127.0.0.1", port), 5),
        "listen": lambda: socket.create_server(("127.0.0.1", 0)),
        "signal_to_parent": lambda: os.kill(parent, signal.SIGCONT),
        "much_memory": lambda: bytearray(3 << 30),
        "large_file": lambda: (folder / "large").write_bytes(b"0" * (3 << 20)),
        "many_files": _open_many,
        "raised_limit": lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40)),
    }


def _found(what: bytes, text: bytes) -> None:
    if what not in text:
        raise ValueError("not there")


def _open_many() -> None:
    opened: list[int] = []
    try:
        while len(opened) < 1_000:
            opened.append(os.open("/dev/null", os.O_RDONLY))
    finally:
        for each in opened:
            os.close(each)


def _linked(folder: Path, outside: Path) -> Path:
    (folder / "link").symlink_to(outside / "secret")
    return folder / "link"


def main(folder: Path) -> None:
    """Confine this process as the worker does, and try."""
    job = json.loads((folder / "job.json").read_text())
    end_with(job["parent"])
    outside = Path(job["models"]["candidate"]).parent
    port = int((outside / "port").read_text())
    confined = confine([Path(job["models"]["candidate"])], folder)
    limit(Limits(**(job["limits"] | {"file_bytes": 1 << 20})))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    worked = []
    for name, attempt in attempts(folder, outside, port).items():
        try:
            attempt()
        except (OSError, ValueError, MemoryError):
            continue
        worked.append(name)
    (folder / "report.json").write_text(json.dumps({"confined": confined, "error": "tried"}))
    sys.stdout.write(f"worked: {' '.join(worked)}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
