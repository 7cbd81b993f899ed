"""The peers as detectors, each in a process of the peers' environment; changes with how windows reach them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from bench.detection.cases import Case, Source, block_group
from bench.detection.datasets import TIME
from bench.detection.tally import Flag, Judged
from bench.rig import peers as rig

NAMES = {"alibi": "Alibi Detect", "nannyml": "NannyML", "evidently": "Evidently", "whylogs": "whylogs"}
_PERIODS = {"hour": "h", "day": "D", "week": "W"}


@dataclass(frozen=True, slots=True)
class Detector:
    """A peer that is running.

    Attributes:
        failures: windows that it could not judge, and why; they count as not flagged.
    """

    name: str
    version: str
    _asked: IO[bytes]
    _answers: IO[bytes]
    failures: list[str] = field(default_factory=list)

    def judge(self, source: Source, cases: Iterable[Case]) -> Iterator[Judged]:
        """Yield what the peer says about windows of a data set; it learns the reference anew for each size of windows.

        Raises:
            PeersMissing: it stopped.
        """
        size = None
        for case in cases:
            if case.group != size:
                size = case.group
                self._send("reference", source.reference, case)
            self._send("window", case.table, case)
            said = json.loads(self._answer())
            if isinstance(said, dict):
                self.failures.append(f"{case.data}, {case.group}, {case.kind}: {said['error']}")
                said = []
            yield Judged.of(case, [Flag((name,), *rest) for name, *rest in said])

    def _send(self, what: str, table: pa.Table, case: Case) -> None:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        content = sink.getvalue().to_pybytes()
        natural = case.block is not None
        message: dict[str, Any] = {
            "what": what,
            "bytes": len(content),
            "time": TIME,
            "rows": None if natural else case.table.num_rows,
            "period": _PERIODS[block_group(case.block)] if case.block is not None else None,
        }
        try:
            self._asked.write(json.dumps(message).encode() + b"\n" + content)
            self._asked.flush()
        except BrokenPipeError as error:
            raise rig.PeersMissing(f"{self.name} stopped while it was asked") from error

    def _answer(self) -> bytes:
        line = self._answers.readline()
        if not line:
            raise rig.PeersMissing(f"{self.name} stopped without an answer")
        return line


@contextmanager
def running(key: str) -> Iterator[Detector]:
    """Run a peer, by its key in NAMES.

    Raises:
        PeersMissing: it does not start.
    """
    with rig.running(Path(__file__).with_name("measure.py"), key) as (asked, answers):
        version = answers.readline().decode().strip()
        if not version:
            raise rig.PeersMissing(f"{NAMES[key]} does not start")
        yield Detector(NAMES[key], version, asked, answers)
