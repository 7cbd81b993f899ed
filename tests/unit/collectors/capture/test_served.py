from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from collectors.capture.rest import Served
from collectors.capture.served import ServedModels, default_version, signatures
from monitor.errors import TransientError


@pytest.mark.parametrize(
    ("status", "version"),
    [
        pytest.param([("3", "AVAILABLE"), ("12", "AVAILABLE")], "12", id="the highest number, not the last text"),
        pytest.param([("3", "AVAILABLE"), ("4", "LOADING"), ("5", "END")], "3", id="one that answers"),
        pytest.param([("4", "LOADING")], "", id="none while none answers"),
        pytest.param([("x", "AVAILABLE"), ("9" * 5000, "AVAILABLE")], "", id="only what is a number"),
        pytest.param([], "", id="none without any"),
    ],
)
def test_the_default_version_is(status: list[tuple[str, str]], version: str) -> None:
    listed = [{"version": number, "state": state} for number, state in status]
    assert default_version({"model_version_status": listed}) == version


@pytest.mark.parametrize("status", [{}, {"model_version_status": 1}, {"model_version_status": [1]}])
def test_a_status_of_another_kind_names_no_version(status: dict[str, Any]) -> None:
    assert default_version(status) == ""


def test_signatures_are_read_from_the_metadata() -> None:
    described = {"s": {"inputs": {"b": {}, "a": {}}, "outputs": {"y": {}}}, "broken": 1}
    inputs, outputs = signatures({"metadata": {"signature_def": {"signature_def": described}}})
    assert inputs == {"s": ("a", "b"), "broken": ()}
    assert outputs == {"s": ("y",), "broken": ()}
    assert signatures({"metadata": []}) == ({}, {})


class Pages:
    """Pages of a model server, each held back until `open`."""

    def __init__(self, pages: dict[str, object]) -> None:
        self.pages = pages
        self.asked: list[str] = []
        self.open = asyncio.Event()

    async def fetch(self, path: str, timeout_seconds: float) -> bytes:
        self.asked.append(path)
        await self.open.wait()
        if path not in self.pages:
            raise TransientError(path)
        return json.dumps(self.pages[path]).encode()


STATUS = {"model_version_status": [{"version": "3", "state": "AVAILABLE"}]}


def test_what_comes_before_the_first_look_waits_for_it_and_only_one_looks() -> None:
    async def play() -> None:
        pages = Pages({"/v1/models/a%2Fb": STATUS, "/v1/models/a%2Fb/metadata": {}})
        models = ServedModels(pages, 60.0)
        seen: list[Served] = []
        for _ in range(3):
            models.when_known("a/b", seen.append)
        await asyncio.sleep(0)
        assert seen == []
        pages.open.set()
        await models.close(20.0)
        assert [one.version for one in seen] == ["3"] * 3
        assert pages.asked == ["/v1/models/a%2Fb", "/v1/models/a%2Fb/metadata"]

    asyncio.run(play())


@pytest.mark.parametrize(
    ("pages", "poll_seconds"),
    [
        pytest.param({}, 60.0, id="the server does not tell"),
        pytest.param({"/v1/models/m": []}, 60.0, id="the server tells something else"),
        pytest.param({"/v1/models/m": STATUS, "/v1/models/m/metadata": {}}, 0.0, id="nobody is to ask"),
    ],
)
def test_the_version_stays_unknown_when(pages: dict[str, object], poll_seconds: float) -> None:
    async def play() -> list[Served]:
        server = Pages(pages)
        server.open.set()
        models, seen = ServedModels(server, poll_seconds), list[Served]()
        models.when_known("m", seen.append)
        await models.close(20.0)
        return seen

    assert asyncio.run(play()) == [Served()]


def test_closing_lets_go_of_what_waits_for_a_server_that_does_not_answer() -> None:
    async def play() -> list[Served]:
        models, seen = ServedModels(Pages({}), 60.0), list[Served]()
        models.when_known("m", seen.append)
        await models.close(0.0)
        return seen

    assert asyncio.run(play()) == [Served()]


def test_a_path_that_names_a_model_which_may_not_exist_is_not_asked_about() -> None:
    async def play() -> None:
        pages = Pages({})
        models, seen = ServedModels(pages, 60.0), list[Served]()
        models.use_known("m", seen.append)
        await asyncio.sleep(0)
        assert seen == [Served()]
        assert pages.asked == []
        await models.close(0.0)

    asyncio.run(play())


def test_a_label_is_asked_for_by_itself() -> None:
    async def play() -> None:
        canary = {"model_version_status": [{"version": "4", "state": "AVAILABLE"}]}
        pages = Pages({"/v1/models/m": STATUS, "/v1/models/m/labels/canary": canary})
        pages.pages |= {f"{path}/metadata": {} for path in list(pages.pages)}
        models = ServedModels(pages, 60.0)
        seen: list[Served] = []
        models.when_known("m", seen.append)
        models.when_known("m", seen.append, "canary")
        pages.open.set()
        await models.close(20.0)
        assert sorted((one.version, one.label) for one in seen) == [("3", ""), ("4", "canary")]
        models.use_known("m", seen.append, "other")
        assert seen[-1] == Served()

    asyncio.run(play())
