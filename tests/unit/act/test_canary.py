"""What is made of a canary, by what is known of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.act.canary import Quality, Watched, judge_canary
from monitor.act.steps import CanaryVerdict
from monitor.config.canary import CanarySettings

HOUR = timedelta(hours=1)
WAITING, GOOD, BAD = CanaryVerdict.WAITING, CanaryVerdict.GOOD, CanaryVerdict.BAD


def settings(**given: Any) -> CanarySettings:
    serving = {"model_config_file": "models.config", "rest": "http://serving:8501"}
    return CanarySettings.model_validate(
        {"tf_serving": serving, "watch_for": "6h", "give_up_after": "24h", "min_rows": 100, **given}
    )


REQUIRE = {"labels": "require", "margin": 0.01}


@pytest.mark.parametrize(
    ("watched", "given", "verdict", "said"),
    [
        pytest.param(Watched(HOUR, None, (900, 99)), {}, WAITING, "100 of each are needed", id="too few rows yet"),
        pytest.param(Watched(HOUR, None, (99, 900)), {}, WAITING, "100 of each are needed", id="of either version"),
        pytest.param(
            Watched(HOUR, None, (900, 99), ["its outputs are not healthy"]),
            {},
            WAITING,
            "",
            id="nor harm is told by few rows",
        ),
        pytest.param(
            Watched(24 * HOUR, None, (900, 99)), {}, BAD, "too few rows: 99 rows", id="too few in all the time"
        ),
        pytest.param(
            Watched(0 * HOUR, 24 * HOUR, (900, 99)), {}, BAD, "too few rows", id="traffic that stands still for a day"
        ),
        pytest.param(
            Watched(5 * HOUR, 5 * HOUR, (900, 100)), {}, WAITING, "no harm so far", id="rows, and no harm so far"
        ),
        pytest.param(
            Watched(6 * HOUR, None, (900, 100)), {}, GOOD, "no evidence of harm", id="no harm in all the time"
        ),
        pytest.param(
            Watched(HOUR, None, (900, 100), ["its error is worse"]), {}, BAD, "its error is worse (100 rows", id="harm"
        ),
        pytest.param(
            Watched(HOUR, None, (900, 100), ["it is ill"], Quality.NO_WORSE),
            {},
            BAD,
            "it is ill",
            id="harm against all else",
        ),
        pytest.param(
            Watched(HOUR, None, (900, 100), quality=Quality.NO_WORSE),
            {},
            GOOD,
            "labels show",
            id="labels before the end",
        ),
        pytest.param(
            Watched(7 * HOUR, None, (900, 100)),
            REQUIRE,
            WAITING,
            "have not shown yet",
            id="labels that must come and have not",
        ),
        pytest.param(
            Watched(24 * HOUR, None, (900, 100)), REQUIRE, BAD, "have not shown that", id="labels that never came"
        ),
        pytest.param(
            Watched(5 * HOUR, 30 * HOUR, (900, 100)),
            {},
            BAD,
            "the traffic stands still",
            id="traffic that stood still later",
        ),
        pytest.param(
            Watched(HOUR, None, (900, 100), shift=0.31),
            {"max_prediction_shift": 0.3},
            BAD,
            "0.310 away",
            id="a large shift",
        ),
        pytest.param(
            Watched(6 * HOUR, None, (900, 100), shift=0.3),
            {"max_prediction_shift": 0.3},
            GOOD,
            "",
            id="an allowed shift",
        ),
        pytest.param(
            Watched(6 * HOUR, None, (900, 100), shift=0.9), {}, GOOD, "", id="any shift where none is forbidden"
        ),
    ],
)
def test_a_verdict(watched: Watched, given: dict[str, Any], verdict: CanaryVerdict, said: str) -> None:
    found, reason = judge_canary(watched, settings(**given))
    assert (found, said in reason) == (verdict, True), reason


hours = st.floats(0, 100).map(lambda hours: hours * HOUR)


@given(
    elapsed=hours,
    waited=st.none() | hours,
    rows=st.tuples(st.integers(0, 300), st.integers(0, 300)),
    harms=st.lists(st.just("harm"), max_size=2),
    quality=st.sampled_from(Quality),
    required=st.booleans(),
)
def test_laws(
    elapsed: timedelta,
    waited: timedelta | None,
    rows: tuple[int, int],
    harms: list[str],
    quality: Quality,
    required: bool,
) -> None:
    verdict, _ = judge_canary(Watched(elapsed, waited, rows, harms, quality), settings(**(REQUIRE if required else {})))
    if verdict is GOOD:
        assert not harms
        assert min(rows) >= 100
        assert quality is Quality.NO_WORSE or (elapsed >= 6 * HOUR and not required)
    if max(elapsed, waited or timedelta(0)) >= 24 * HOUR:
        assert verdict is not WAITING


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param({"tf_serving": None}, "give either `tf_serving` or `webhook`", id="no way"),
        pytest.param({"webhook": {"url": "https://h/x"}}, "give either `tf_serving` or `webhook`", id="two ways"),
        pytest.param({"give_up_after": "1h"}, "shorter than `watch_for`", id="given up before it was watched"),
        pytest.param({"labels": "require"}, "needs a `margin`", id="labels that could show nothing"),
        pytest.param({"tf_serving": None, "webhook": {"url": "ftp://h"}}, "no http or https", id="no web address"),
        pytest.param(
            {"tf_serving": None, "webhook": {"url": "https://h/x", "signing_secret": "whsec_c2hvcnQ="}},
            "24 to 64 bytes",
            id="a short secret",
        ),
        pytest.param(
            {"tf_serving": {"model_config_file": "f", "rest": "http://h", "stable_label": "canary"}},
            "are the same",
            id="one label for both",
        ),
        pytest.param(
            {"tf_serving": {"model_config_file": "f", "rest": "http://u:p@h"}},
            "match pattern",
            id="a password in the address",
        ),
        pytest.param(
            {"tf_serving": {"model_config_file": "f", "rest": "http://h", "grpc_ca_file": "ca"}},
            "goes with `grpc`",
            id="no gRPC",
        ),
    ],
)
def test_settings_that_cannot_work(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        settings(**given)
