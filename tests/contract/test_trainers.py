"""What holds of every trainer that can be asked about its runs, whatever it is: `monitor.act.steps.Trainer`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from monitor.act.retrain import Retrain
from monitor.act.steps import Progress, Report
from monitor.errors import InputError, TransientError
from tests.trainers.worlds import KINDS, World, a_retrain, ended, until, world_of

RETRAIN = a_retrain()
GOING = {Progress.WAITING, Progress.RUNNING}


@pytest.fixture(params=KINDS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with world_of(request.param, tmp_path) as made:
        yield made


def submitted(world: World) -> Retrain:
    return replace(RETRAIN, reference=world.trainer.submit(RETRAIN))


def test_a_request_arrives_with_the_id_of_the_retrain_put_in(world: World) -> None:
    assert submitted(world).reference
    asked = world.asked()[0].get("request", world.asked()[0])
    assert asked["retrain_id"] == "a1b2c3"
    assert asked["expected"]["candidate_uri"] == "file:///candidates/flights/a1b2c3"
    assert asked["callbacks"]["complete"] == "http://driftline/v1/retrains/a1b2c3/complete"
    assert asked["why"] == RETRAIN.request["why"]


def test_asking_twice_asks_once(world: World) -> None:
    first = world.trainer.submit(RETRAIN)
    # A run that was only known by its title is known by its number once it is there.
    assert world.trainer.submit(RETRAIN) == first or first == "title/a1b2c3"
    assert len(world.asked()) == 1


def test_another_retrain_is_another_run(world: World) -> None:
    first = world.trainer.submit(RETRAIN)
    assert world.trainer.submit(a_retrain("d4e5f6")) != first
    assert until(lambda: len(world.asked()) == 2)


def test_a_run_goes_on_until_it_has_ended_well_and_then_has_a_candidate(world: World) -> None:
    retrain = submitted(world)
    going = world.trainer.poll(retrain)
    assert going is not None
    assert going.progress in GOING
    world.finish()
    report = ended(world.trainer, retrain)
    assert report.progress is Progress.COMPLETED, report
    assert report.candidate["uri"] == "file:///candidates/flights/a1b2c3"
    assert report.candidate["version"] in {"42", "7"}
    assert set(report.candidate) == {"uri", "version", "statistics"}


def test_a_run_that_failed_says_so(world: World) -> None:
    retrain = submitted(world)
    world.fail()
    report = ended(world.trainer, retrain)
    assert report.progress is Progress.FAILED
    assert report.reason
    assert not report.candidate


def test_a_run_that_is_gone_is_lost(world: World, request: pytest.FixtureRequest) -> None:
    retrain = submitted(world)
    world.lose()
    if "title/" in retrain.reference:  # whether one that is only known by its title is late or lost, nobody can tell
        assert world.trainer.poll(retrain) == Report(Progress.WAITING, "no run has this retrain in its title yet")
    else:
        if request.node.callspec.params["world"] in ("memory", "command"):
            assert ended(world.trainer, retrain).progress is Progress.LOST
            return
        # A server may be restarted, or somebody else answer in its place: that counts as silence.
        with pytest.raises(TransientError, match="does not know the run"):
            ended(world.trainer, retrain)


def test_where_nobody_answers_the_request_may_be_made_again(world: World) -> None:
    world.break_down()
    with pytest.raises(TransientError):
        world.trainer.submit(RETRAIN)


def test_a_refusal_is_told_apart(world: World) -> None:
    world.refuse()
    with pytest.raises(InputError):
        world.trainer.submit(RETRAIN)


def test_stopping_is_asked_as_often_as_one_likes(world: World) -> None:
    retrain = submitted(world)
    world.trainer.cancel(retrain)
    world.trainer.cancel(retrain)
    assert ended(world.trainer, retrain).progress is Progress.FAILED
    world.trainer.cancel(retrain)


def test_stopping_what_was_never_submitted_does_nothing_or_says_that_it_is_not_known_yet(world: World) -> None:
    with suppress(TransientError):
        world.trainer.cancel(RETRAIN)
    assert world.trainer.submit(RETRAIN)


def test_stopping_what_has_ended_changes_nothing(world: World) -> None:
    retrain = submitted(world)
    world.finish()
    assert ended(world.trainer, retrain).progress is Progress.COMPLETED
    world.trainer.cancel(retrain)
