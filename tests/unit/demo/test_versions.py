"""Several versions in the demo's model server, by a model config that Driftline changes while requests come in."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import orjson
import pytest

from monitor.clock import Deadline, SystemClock
from monitor.config.canary import TfServingSettings
from monitor.demo.routing import label_for
from monitor.demo.versions import ConfiguredVersions, Servable
from monitor.errors import InputError
from monitor.outside.http import HttpClient
from monitor.outside.serving import Folder
from monitor.outside.tf_serving.serving import TfServing
from tests.unit.demo.servers import Adding, model_server
from tests.unit.demo.test_server import PREDICT, ask, body_of

CONFIG = 'model_config_list {\n  config { name: "flights" base_path: "BASE"POLICY }\n}\n'


class World:
    """A folder of versions, and a config that names some of them."""

    def __init__(self, folder: Path) -> None:
        self.base, self.config = folder / "versions", folder / "models.config"
        self.gate = threading.Event()
        self.gate.set()
        for version in ("1", "2"):
            self.add(self.base / version)
        self.write(' model_version_policy { specific { versions: 1 } } version_labels { key: "stable" value: 1 }')

    def add(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "saved_model.pb").write_text(folder.name)

    def write(self, policy: str) -> None:
        self.config.write_text(CONFIG.replace("BASE", str(self.base)).replace("POLICY", policy))

    def load(self, folder: Path) -> Servable:
        assert self.gate.wait(10)
        if folder.name == "9":
            raise ValueError("no such\nop")
        return Adding(folder.name)

    @contextmanager
    def server(self, canary_share: float = 0.0) -> Iterator[str]:
        versions = ConfiguredVersions(self.config, "flights", self.load, poll_seconds=0.01)
        with model_server(None, versions, canary_share) as address:
            yield address


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def states(address: str, what: str = "") -> dict[str, str]:
    status, body = ask(address, "GET", f"/v1/models/flights{what}")
    return {one["version"]: one["state"] for one in orjson.loads(body)["model_version_status"]} if status == 200 else {}


def eventually(look: Any, expected: object) -> None:
    deadline, pause = Deadline.after(SystemClock(), 10), threading.Event()
    while look() != expected:
        assert not deadline.expired(), f"{look()} instead of {expected}"
        pause.wait(0.01)


def predicted(address: str, request_id: str, path: str = PREDICT) -> tuple[int, str | None]:
    """Return the status, and which version answered."""
    connection = HTTPConnection(address, timeout=10)
    try:
        connection.request("POST", path, body_of(315), {"x-request-id": request_id})
        answer = connection.getresponse()
        assert answer.status != 200 or orjson.loads(answer.read()) == {"predictions": [[0.315]]}
        return answer.status, answer.headers["driftline-version"]
    finally:
        connection.close()


def test_versions_come_and_go_with_the_config_as_in_tensorflow_serving(world: World) -> None:
    with world.server() as address:
        eventually(lambda: states(address), {"1": "AVAILABLE"})
        world.gate.clear()
        both = (
            ' model_version_policy { specific { versions: 1 versions: 2 } } version_labels { key: "stable" value: 1 }'
        )
        world.write(both + ' version_labels { key: "canary" value: 2 }')
        eventually(lambda: states(address), {"2": "LOADING", "1": "AVAILABLE"})
        assert predicted(address, "a") == (200, "1")
        assert states(address, "/labels/canary") == {}, "a label of a version that is not available is refused"
        world.gate.set()
        eventually(lambda: states(address, "/labels/canary"), {"2": "AVAILABLE"})
        assert predicted(address, "a", "/v1/models/flights/labels/canary:predict") == (200, "2")
        assert predicted(address, "a", "/v1/models/flights/versions/2:predict") == (200, "2")
        assert predicted(address, "a") == (200, "1")
        world.config.write_text("half a config {")
        assert predicted(address, "a") == (200, "1")
        world.write(" model_version_policy { specific { versions: 2 } }")
        eventually(lambda: states(address), {"2": "AVAILABLE", "1": "END"})
        assert predicted(address, "a") == (200, "2")
        assert predicted(address, "a", "/v1/models/flights/versions/1:predict")[0] == 404
        assert predicted(address, "a", "/v1/models/flights/labels/stable:predict")[0] == 404
        assert states(address, "/versions/1") == {"1": "END"}
        assert states(address, "/versions/7") == {}


@pytest.mark.parametrize(
    ("policy", "served"),
    [
        pytest.param("", {"9": "END", "1": "END"}, id="the latest, which cannot be loaded"),
        pytest.param(" model_version_policy { all {} }", {"9": "END", "2": "AVAILABLE", "1": "AVAILABLE"}, id="all"),
        pytest.param(
            " model_version_policy { latest { num_versions: 2 } }",
            {"9": "END", "2": "AVAILABLE", "1": "END"},
            id="the two latest",
        ),
        pytest.param(
            " model_version_policy { specific { versions: 7 } }", {"1": "END"}, id="one that does not lie there"
        ),
    ],
)
def test_policies(world: World, policy: str, served: dict[str, str]) -> None:
    world.add(world.base / "9")
    with world.server() as address:
        eventually(lambda: states(address), {"1": "AVAILABLE"})
        world.write(policy)
        eventually(lambda: states(address), served)
        if "9" in served:
            body = orjson.loads(ask(address, "GET", "/v1/models/flights/versions/9")[1])
            (entry,) = body["model_version_status"]
            assert entry["status"] == {"error_code": "INTERNAL", "error_message": "no such op"}


def test_a_share_of_the_requests_is_the_canarys(world: World) -> None:
    world.write(
        ' model_version_policy { specific { versions: 1 versions: 2 } } version_labels { key: "stable" value: 1 }'
        ' version_labels { key: "canary" value: 2 }'
    )
    with world.server(canary_share=0.25) as address:
        eventually(lambda: states(address, "/labels/canary"), {"2": "AVAILABLE"})
        found = Counter(predicted(address, f"id {number}") for number in range(200))
        assert set(found) == {(200, "1"), (200, "2")}
        assert 25 <= found[200, "2"] <= 75


@pytest.mark.parametrize(
    ("request_id", "labels", "share", "label"),
    [
        pytest.param(b"a", {"stable", "canary"}, 1.0, "canary", id="all for the canary"),
        pytest.param(b"a", {"stable", "canary"}, 0.0, "stable", id="none for the canary"),
        pytest.param(b"a", {"stable"}, 1.0, "stable", id="no canary"),
        pytest.param(b"a", {"canary"}, 0.0, None, id="no stable label: whoever serves decides"),
        pytest.param(b"a", set(), 1.0, None, id="no labels"),
        pytest.param(b"", {"stable", "canary"}, 1.0, "stable", id="no id to choose by"),
    ],
)
def test_a_router(request_id: bytes, labels: set[str], share: float, label: str | None) -> None:
    assert label_for(request_id, labels, share) == label


def test_the_share_is_that_of_the_ids_and_a_larger_one_takes_none_back() -> None:
    ids = [f"request {number}".encode() for number in range(20_000)]
    some, more = ({one for one in ids if label_for(one, ["canary"], share) == "canary"} for share in (0.05, 0.2))
    assert some < more
    assert abs(len(some) / len(ids) - 0.05) < 0.01
    assert abs(len(more) / len(ids) - 0.2) < 0.015


def test_driftline_rolls_a_version_out_while_requests_come_in(world: World, tmp_path: Path) -> None:
    before = world.config.read_text()
    world.add(tmp_path / "candidate" / "3")
    world.add(tmp_path / "candidate" / "9")

    def folder(version: str) -> Folder:
        return lambda: nullcontext(tmp_path / "candidate" / version)

    with world.server(canary_share=0.5) as address:
        clock = SystemClock()
        settings = TfServingSettings.model_validate(
            {"model_config_file": str(world.config), "rest": f"http://{address}"}
        )
        serving = TfServing(settings, "flights", HttpClient(clock), clock)
        eventually(lambda: states(address), {"1": "AVAILABLE"})
        stopped, answers = threading.Event(), Counter[tuple[int, str | None]]()

        def ask_on() -> None:
            number = 0
            while not stopped.is_set():
                number += 1
                answers[predicted(address, str(number))] += 1

        thread = threading.Thread(target=ask_on)
        thread.start()
        try:
            with pytest.raises(InputError, match="version 9 of flights cannot be loaded: INTERNAL: no such op"):
                serving.begin(failing := serving.plan("9"), folder("9"))
            assert serving.roll_back(failing) == ""
            assert world.config.read_text() == before
            plan = serving.plan("3")
            serving.begin(plan, folder("3"))
            assert {predicted(address, f"id {number}")[1] for number in range(50)} == {"1", "3"}
            serving.promote(plan)
            assert {predicted(address, f"id {number}")[1] for number in range(50)} == {"3"}
            serving.roll_back(plan)
            assert {predicted(address, f"id {number}")[1] for number in range(50)} == {"1"}
        finally:
            stopped.set()
            thread.join()
    assert world.config.read_text() == before
    assert not (world.base / "3").exists()
    assert set(answers) <= {(200, "1"), (200, "3")}, "nobody was ever refused"
