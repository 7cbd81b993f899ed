"""Versions that come and go in a TensorFlow Serving, step by step, with crashes, failures and others who write there too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from monitor.clock import ManualClock
from monitor.config.canary import TfServingSettings
from monitor.errors import InputError, TransientError
from monitor.outside.serving import Plan
from monitor.outside.tf_serving.model_config import entry_of
from monitor.outside.tf_serving.placing import place
from monitor.outside.tf_serving.serving import TfServing
from tests.unit.outside.tf_serving.fake import FakeServing, Said

PINNED = """\
model_config_list {
  config { name: "other" base_path: "/models/other" }
  config {
    name: "flights"
    base_path: "BASE"  # a volume
    model_version_policy { specific { versions: 41 } }
    version_labels { key: "stable" value: 41 }
  }
}
"""
LATEST = """\
model_config_list {
  config { name: "flights" base_path: "BASE" }
}
"""


class Killed(BaseException):
    """The process is gone."""


@dataclass
class Dying:
    """Asks on behalf of a process that ends at its `last` question."""

    server: FakeServing
    last: int
    asked: int = 0

    def send(self, method: str, url: str, *, timeout_seconds: float) -> Said:
        self.asked += 1
        if self.asked == self.last:
            raise Killed
        return self.server.send(method, url, timeout_seconds=timeout_seconds)


@dataclass
class World:
    folder: Path
    text: str = PINNED
    clock: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        self.base, self.candidate = self.folder / "versions", self.folder / "candidates" / "run"
        for path, graph in ((self.base / "41", "old"), (self.candidate, "new")):
            (path / "variables").mkdir(parents=True)
            (path / "saved_model.pb").write_text(graph)
            (path / "variables" / "data").write_text(graph * 3)
        (self.candidate / "rows.parquet").write_text("rows")
        self.config = self.folder / "models.config"
        self.text = self.text.replace("BASE", str(self.base))
        self.config.write_text(self.text)
        self.server = FakeServing(self.config)

    @contextmanager
    def found(self) -> Iterator[Path]:
        yield self.candidate

    def serving(self, client: FakeServing | Dying | None = None, **settings: object) -> TfServing:
        given = {"model_config_file": str(self.config), "rest": "http://serving:8501", **settings}
        return TfServing(
            TfServingSettings.model_validate(given),
            "flights",
            client or self.server,
            self.clock,
            pause=self.clock.advance,
        )

    def entry(self) -> tuple[tuple[int, ...] | None, dict[str, int]]:
        entry = entry_of(self.config.read_text(), "flights")
        return entry.versions, dict(entry.labels)


@pytest.fixture(params=[pytest.param(PINNED, id="pinned versions"), pytest.param(LATEST, id="the latest version")])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return World(tmp_path, request.param)


def test_a_canary_is_served_promoted_and_rolled_back(world: World) -> None:
    serving = world.serving()
    plan = serving.plan("42")
    assert (plan.stable, plan.candidate, plan.was_there) == ("41", "42", False)
    serving.begin(plan, world.found)
    assert world.entry() == ((41, 42), {"stable": 41, "canary": 42})
    assert not (world.base / "42" / "rows.parquet").exists()
    serving.promote(plan)
    assert world.entry() == ((41, 42), {"stable": 42})
    assert serving.roll_back(plan) == ""
    assert world.config.read_text() == world.text
    assert sorted(path.name for path in world.base.iterdir()) == ["41"]
    assert world.server.history == [[41], [41, 42], [41]]
    assert world.server.refused == []


@pytest.mark.parametrize("step", ["begin", "promote", "roll_back"])
def test_whatever_question_a_process_dies_at_the_next_one_ends_where_it_would_have(world: World, step: str) -> None:
    def done(serving: TfServing) -> None:
        plan = Plan.from_document(json.loads(document))
        match step:
            case "begin":
                serving.begin(plan, world.found)
            case "promote":
                serving.promote(plan)
            case _:
                serving.roll_back(plan)

    document = json.dumps(world.serving().plan("42").to_document())
    if step != "begin":
        world.serving().begin(Plan.from_document(json.loads(document)), world.found)
    before = world.config.read_text()
    done(world.serving())
    after, asked = world.config.read_text(), 0
    assert after != before
    while True:  # the same again, from a process that dies one question later each time
        asked += 1
        if step == "begin":
            world.serving().roll_back(Plan.from_document(json.loads(document)))
        elif step == "promote":
            world.config.write_text(before)
            world.serving().begin(Plan.from_document(json.loads(document)), world.found)
        else:
            world.serving().begin(Plan.from_document(json.loads(document)), world.found)
        dying = Dying(world.server, asked)
        try:
            done(world.serving(dying))
        except Killed:
            done(world.serving())
        else:
            break
        assert world.config.read_text() == after
    assert asked > 2
    assert all(41 in versions for versions in world.server.history)


def test_a_copy_that_was_cut_short_is_made_anew(world: World) -> None:
    (world.base / ".42.incoming").mkdir()
    (world.base / ".42.incoming" / "half").write_text("")
    serving = world.serving()
    serving.begin(serving.plan("42"), world.found)
    assert sorted(path.name for path in (world.base / "42").iterdir()) == ["saved_model.pb", "variables"]
    assert [path.name for path in world.base.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("candidate", "text", "said"),
    [
        pytest.param("v42", PINNED, "'v42' is no version of TensorFlow Serving's", id="a version that is no number"),
        pytest.param("41", PINNED, "version 41 of flights is the stable one already", id="the version that serves"),
        pytest.param(
            "42", PINNED.replace("flights", "trains"), "names 'flights' nowhere", id="a model that is not there"
        ),
        pytest.param(
            "42",
            PINNED.replace("value: 41 }", 'value: 41 } version_labels { key: "canary" value: 40 }'),
            "the label 'canary' of flights stands for version 40: somebody else tries that",
            id="while somebody else's canary goes on",
        ),
    ],
)
def test_what_cannot_be_planned_is_told(tmp_path: Path, candidate: str, text: str, said: str) -> None:
    world = World(tmp_path)
    world.config.write_text(text)
    with pytest.raises(InputError, match=said):
        world.serving().plan(candidate)


def test_another_model_under_the_candidates_number_is_never_overwritten(world: World) -> None:
    serving = world.serving()
    plan = serving.plan("42")
    (world.base / "42").mkdir()
    (world.base / "42" / "saved_model.pb").write_text("somebody else's")
    with pytest.raises(InputError, match="another model lies there; versions are never overwritten"):
        serving.begin(plan, world.found)
    assert (world.base / "42" / "saved_model.pb").read_text() == "somebody else's"


def test_a_candidate_that_does_not_load_tells_why_and_can_be_rolled_back(world: World) -> None:
    serving = world.serving()
    plan = serving.plan("42")
    world.server.broken.add(42)
    with pytest.raises(InputError, match="version 42 of flights cannot be loaded: INTERNAL: the graph has no op Foo"):
        serving.begin(plan, world.found)
    assert serving.roll_back(plan) == ""
    assert (world.config.read_text(), world.server.available) == (world.text, [41])


def test_a_slow_or_absent_server_is_asked_again_later_and_that_goes_on_where_it_was(world: World) -> None:
    serving = world.serving()
    plan = serving.plan("42")
    world.server.down = 1
    with pytest.raises(TransientError, match="is answered with 503"):
        serving.begin(plan, world.found)
    world.server.loading = 60
    with pytest.raises(TransientError, match="flights does not yet say that version 42 is available"):
        serving.begin(plan, world.found)
    serving.begin(plan, world.found)
    assert world.entry() == ((41, 42), {"stable": 41, "canary": 42})


def test_a_server_that_does_not_poll_its_file_is_told_so(world: World) -> None:
    world.server.polls = False
    serving = world.serving()
    with pytest.raises(TransientError, match="without `grpc` it must poll its config file"):
        serving.begin(serving.plan("42"), world.found)
    assert not (world.base / "42").exists()


def test_what_others_write_meanwhile_stays(tmp_path: Path) -> None:
    world = World(tmp_path)
    serving = world.serving()
    plan = serving.plan("42")
    serving.begin(plan, world.found)
    theirs = world.config.read_text().replace("/models/other", "/mnt/other").replace("# a volume", "# ours")
    world.config.write_text(theirs)
    serving.promote(plan)
    assert world.entry() == ((41, 42), {"stable": 42})
    serving.roll_back(plan)
    assert world.config.read_text() == world.text.replace("/models/other", "/mnt/other")


@pytest.mark.parametrize(
    ("keep", "versions"),
    [
        pytest.param(0, (38, 42), id="none but those that somebody gave a label"),
        pytest.param(1, (38, 41, 42), id="the one before"),
        pytest.param(2, (38, 40, 41, 42), id="the two before"),
    ],
)
def test_so_many_versions_from_before_stay_loaded(tmp_path: Path, keep: int, versions: tuple[int, ...]) -> None:
    text = PINNED.replace("versions: 41", "versions: 38 versions: 39 versions: 40 versions: 41").replace(
        "value: 41 }", 'value: 41 } version_labels { key: "audit" value: 38 }'
    )
    world = World(tmp_path, text)
    for version in (38, 39, 40):
        (world.base / str(version)).mkdir()
    serving = world.serving(keep_previous=keep)
    plan = serving.plan("42")
    serving.begin(plan, world.found)
    serving.promote(plan)
    assert world.entry() == (versions, {"audit": 38, "stable": 42})
    assert serving.roll_back(plan) == ""
    assert world.config.read_text() == world.text


def test_a_canary_label_from_before_stands_for_the_stable_version_again(tmp_path: Path) -> None:
    text = PINNED.replace("value: 41 }", 'value: 41 } version_labels { key: "canary" value: 41 }')
    world = World(tmp_path, text)
    serving = world.serving()
    plan = serving.plan("42")
    serving.begin(plan, world.found)
    serving.promote(plan)
    assert world.entry() == ((41, 42), {"stable": 42, "canary": 42})
    assert serving.roll_back(plan) == ""
    assert world.config.read_text() == world.text


def test_versions_stay_pinned_where_the_policy_would_load_a_folder_that_is_not_ours(tmp_path: Path) -> None:
    world = World(tmp_path, LATEST)
    serving = world.serving()
    plan = Plan(**{**serving.plan("42").to_document(), "was_there": True})
    world.candidate.rename(world.base / "42")
    world.candidate = world.base / "42"
    serving.begin(plan, world.found)
    assert "the versions of flights stay pinned" in serving.roll_back(plan)
    assert world.entry() == ((41,), {"stable": 41})
    assert (world.base / "42" / "saved_model.pb").exists()


def test_a_roll_back_of_what_never_began_changes_nothing(world: World) -> None:
    serving = world.serving()
    assert serving.roll_back(serving.plan("42")) == ""
    assert world.config.read_text() == world.text


@dataclass
class Stopping:
    """Allows so many writes and looks, and then no more."""

    left: int

    def __call__(self) -> None:
        if not self.left:
            raise TransientError("the monitor is stopping")
        self.left -= 1


@pytest.mark.parametrize("step", ["begin", "promote", "roll_back"])
def test_wherever_a_step_is_stopped_nothing_is_written_after_it_and_another_goes_on(world: World, step: str) -> None:
    world.server.loading = 2
    done = world.serving()
    plan = done.plan("42")
    if step != "begin":
        done.begin(plan, world.found)
    for left in range(100):
        stopping = Stopping(left)
        serving = replace(world.serving(), ensure_allowed=stopping)
        before = world.config.read_text(), sorted(world.base.iterdir())
        try:
            serving.begin(plan, world.found) if step == "begin" else getattr(serving, step)(plan)
        except TransientError:
            assert left or (world.config.read_text(), sorted(world.base.iterdir())) == before
            continue
        break
    assert left >= 1
    assert (world.entry() == ((41, 42), {"stable": 41, "canary": 42})) is (step == "begin")


def test_a_copy_that_is_stopped_is_never_seen(world: World) -> None:
    with pytest.raises(TransientError, match="stopping"):
        place(world.candidate, world.base, 42, ensure_allowed=Stopping(1))
    with pytest.raises(TransientError, match="stopping"):
        place(world.candidate, world.base, 42, ensure_allowed=Stopping(3))
    assert not (world.base / "42").exists()
    place(world.candidate, world.base, 42)
    assert (world.base / "42" / "variables" / "data").read_text() == "newnewnew"
