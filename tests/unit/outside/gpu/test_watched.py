"""GPUs by exporters and Prometheus servers that say what real ones do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner

from monitor.act.steps import Headroom
from monitor.cli import command
from monitor.clock import EPOCH, ManualClock
from monitor.config.gpus import GpuSettings
from monitor.outside.gpu.fields import gpus_in, value_of
from monitor.outside.gpu.samples import Sample
from monitor.outside.gpu.watched import gpus_of
from monitor.outside.http import HttpClient
from tests.unit.outside.gpu.pages import MIG, exporter, tf_serving
from tests.unit.outside.gpu.servers import Pages, serving

SPOKEN = "s3cret-of-the-exporter"


@pytest.fixture
def pages() -> Iterator[Pages]:
    with serving() as found:
        yield found


class World:
    """GPUs by a source, with a clock that a test moves."""

    def __init__(self, pages: Pages, **given: Any) -> None:
        self.pages = pages
        self.clock = ManualClock()
        path = {"dcgm": "/metrics"}.get(given.setdefault("source", "dcgm"), "")
        self.settings = GpuSettings.model_validate({"url": pages.url + path, **given})
        self.gpus = gpus_of(self.settings, HttpClient(self.clock), self.clock)

    def look(self, page: str) -> Any:
        self.pages.text["/metrics"] = page
        self.clock.advance(30)
        return self.gpus.headroom()


@pytest.mark.parametrize("spelling", ["Hostname", "hostname"])
def test_both_spellings_of_the_host_are_one_host(pages: Pages, spelling: str) -> None:
    found = World(pages, hostnames=["gpu-1"]).look(exporter(host_label=spelling))
    assert found.verdict == Headroom.HEALTHY
    assert found.details["gpus"][0]["hostname"] == "gpu-1"


def test_a_gpu_keeps_its_past_while_the_spelling_changes(pages: Pages) -> None:
    world = World(pages)
    world.look(exporter(host_label="Hostname", util="100"))
    found = world.look(exporter(host_label="hostname", util="4"))
    assert [each["utilisation_ratio"] for each in found.details["gpus"]] == [0.52]


@pytest.mark.parametrize(
    ("looks", "verdict", "reason"),
    [
        pytest.param([exporter()], Headroom.HEALTHY, "1 of 1", id="a free GPU has room at the first look"),
        pytest.param(
            [exporter(util="9223372036854775794")],
            Headroom.UNKNOWN,
            "not told",
            id="a blank is no utilisation, and no large one",
        ),
        pytest.param(
            [exporter(util="93"), exporter(util="89")], Headroom.BUSY, "utilisation 91%", id="used twice: busy"
        ),
        pytest.param(
            [exporter(), exporter(xid=79, error_label="GPU has fallen off the bus")],
            Headroom.FAILED,
            "XID error 79",
            id="an XID that appears with labels of its own",
        ),
        pytest.param(
            [exporter(xid=79), exporter(xid=79)],
            Headroom.SUSPECT,
            "nobody knows when",
            id="an XID from before the first look",
        ),
        pytest.param(
            [exporter(), exporter(xid=79), exporter(xid=0)], Headroom.HEALTHY, "1 of 1", id="an XID, and a reset since"
        ),
        pytest.param([exporter(dbe=0), exporter(dbe=1)], Headroom.FAILED, "1 uncorrected", id="memory that broke"),
        pytest.param([exporter(temperature=92)], Headroom.SUSPECT, "92 °C", id="heat"),
        pytest.param(["DCGM_FI_DEV_GPU_UTIL{gpu= }}"], Headroom.UNKNOWN, "not Prometheus' text", id="no metrics"),
        pytest.param(["<html>"], Headroom.UNKNOWN, "not Prometheus' text format", id="a web page"),
        pytest.param(["up 1\n"], Headroom.UNKNOWN, "shows no DCGM metrics", id="another exporter"),
    ],
)
def test_what_an_exporter_shows(pages: Pages, looks: list[str], verdict: Headroom, reason: str) -> None:
    world = World(pages)
    found = [world.look(page) for page in looks][-1]
    assert (found.verdict, reason in found.reason) == (verdict, True), found


@pytest.mark.parametrize(
    ("instance", "verdict", "reason"),
    [
        ("7", Headroom.BUSY, "GPU 0 instance 7 (1g.10gb) of gpu-2: utilisation 83%"),
        ("8", Headroom.HEALTHY, "1 of 1"),
        ("2", Headroom.UNKNOWN, "does not prove that it is idle"),
        ("3g.40gb", Headroom.UNKNOWN, "does not prove that it is idle"),
        ("9", Headroom.UNKNOWN, "none of the 3 GPU(s) seen is one that the settings name"),
    ],
)
def test_instances_are_judged_by_themselves(pages: Pages, instance: str, verdict: Headroom, reason: str) -> None:
    found = World(pages, instances=[instance]).look(MIG)
    assert (found.verdict, reason in found.reason) == (verdict, True), found


def test_a_card_that_is_cut_is_no_gpu_of_its_own_and_its_heat_is_that_of_every_instance(pages: Pages) -> None:
    found = World(pages).look(MIG.replace("} 38", "} 95"))
    assert found.verdict == Headroom.SUSPECT
    assert [each["instance"] for each in found.details["gpus"]] == ["2", "7", "8"]
    assert {each["temperature_celsius"] for each in found.details["gpus"]} == {95.0}


def test_an_exporter_that_is_gone_leaves_looks_that_grow_stale(pages: Pages) -> None:
    world = World(pages)
    assert world.look(exporter()).verdict == Headroom.HEALTHY
    pages.status = 503
    assert world.look(exporter()).verdict == Headroom.HEALTHY
    world.clock.advance(120)
    assert (world.look("").verdict, world.look("").reason) == (
        Headroom.UNKNOWN,
        "GPU 0 of gpu-1: its last reading is 3.5 min old",
    )
    world.clock.advance(600)
    assert world.look("").reason == "the exporter answers with status 503"


def test_what_was_looked_at_between_two_questions_counts(pages: Pages) -> None:
    page = "/monitoring/prometheus/metrics"
    world = World(pages, backlog={"url": pages.url + page})
    for errors, requests in ((0, 1_000), (1, 2_000)):
        pages.text["/metrics"] = exporter(xid=79 * errors, error_label="GPU has fallen off the bus", util="90")
        pages.text[page] = tf_serving(requests, 100, 5_000)
        world.gpus.look()
        world.clock.advance(30)
    found = world.gpus.serving()
    assert (found.verdict, "XID error 79, after which" in found.reason) == (Headroom.FAILED, True), found
    assert found.details["backlog"]["requests"] == 1_000


def test_nobody_looks_for_a_prometheus_server_which_remembers_by_itself(pages: Pages) -> None:
    World(pages, source="prometheus", backlog={"matchers": 'job="serving"'}).gpus.look()
    assert pages.asked == []


def test_an_exporter_that_never_was_there_is_unknown() -> None:
    with serving() as gone:
        url = gone.url
    world = World(Pages(url), token=SPOKEN)
    found = world.look("")
    assert found.verdict == Headroom.UNKNOWN
    assert url in found.reason
    assert SPOKEN not in found.reason + repr(world.settings)


def test_the_token_is_sent(pages: Pages) -> None:
    World(pages, token=SPOKEN).look(exporter())
    assert pages.asked == [("/metrics", f"Bearer {SPOKEN}")]


def matrix(clock: ManualClock, *series: tuple[str, dict[str, str], list[float]]) -> str:
    """A Prometheus server's answer: values 15 s apart, the last of them now."""
    now = (clock.now() - EPOCH).total_seconds()
    return json.dumps(
        {
            "status": "success",
            "data": {
                "resultType": "matrix",
                "result": [
                    {
                        "metric": {"__name__": name, **labels},
                        "values": [[now - 15 * back, str(v)] for back, v in enumerate(reversed(values))][::-1],
                    }
                    for name, labels, values in series
                ],
            },
        }
    )


GPU = {"gpu": "0", "UUID": "GPU-a", "Hostname": "gpu-1", "instance": "gpu-1:9400", "job": "dcgm"}
ROOM = ("DCGM_FI_DEV_FB_FREE", GPU, [70_000.0]), ("DCGM_FI_DEV_FB_USED", GPU, [11_000.0])


def test_a_prometheus_server_is_asked_once_for_all_of_it(pages: Pages) -> None:
    world = World(pages, source="prometheus", matchers='job="dcgm"', look_back="10m")
    pages.text["/api/v1/query"] = matrix(world.clock, ("DCGM_FI_DEV_GPU_UTIL", GPU, [80, 90, 100]), *ROOM)
    found = world.gpus.headroom()
    assert (found.verdict, "utilisation 90% over 30 s" in found.reason) == (Headroom.BUSY, True), found
    ((path, _),) = pages.asked
    query = parse_qs(urlsplit(path).query)
    assert query["query"][0].startswith('{__name__=~"DCGM_FI_DEV_GPU_UTIL|')
    assert query["query"][0].endswith(', job="dcgm"}[600s]')
    assert float(query["time"][0]) == (world.clock.now() - EPOCH).total_seconds()


def test_a_reading_that_stopped_at_a_prometheus_server_is_stale(pages: Pages) -> None:
    world = World(pages, source="prometheus")
    pages.text["/api/v1/query"] = matrix(world.clock, ("DCGM_FI_DEV_GPU_UTIL", GPU, [5]), *ROOM)
    assert world.gpus.headroom().verdict == Headroom.HEALTHY
    world.clock.advance(150)
    assert world.gpus.headroom().verdict == Headroom.UNKNOWN


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (
            200,
            '{"status":"success","data":{"resultType":"matrix","result":[]}}',
            "has no DCGM metrics of these minutes",
        ),
        (200, '{"status":"success","data":{"resultType":"vector","result":[]}}', "not that of a query"),
        (
            200,
            '{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[]}]}}',
            "not that of a query",
        ),
        (200, "null", "not that of a query"),
        (200, "oops", "not JSON"),
        (400, '{"status":"error","error":"parse error"}', "answers with status 400"),
        (503, "", "answers with status 503"),
    ],
)
def test_a_prometheus_server_that_cannot_tell_is_unknown(pages: Pages, status: int, body: str, reason: str) -> None:
    pages.status, pages.text["/api/v1/query"] = status, body
    found = World(pages, source="prometheus").gpus.headroom()
    assert (found.verdict, reason in found.reason) == (Headroom.UNKNOWN, True), found


def test_requests_that_wait_before_an_idle_gpu_starve_it(pages: Pages) -> None:
    page = "/monitoring/prometheus/metrics"
    world = World(pages, backlog={"url": pages.url + page, "model_name": "flights"})
    pages.text["/metrics"] = exporter(util="9")
    pages.text[page] = tf_serving(1_000, 100, 5_000)
    first = world.gpus.serving()
    assert (first.details["state"], first.details["backlog"]["trouble"][:28]) == (
        "unknown",
        "requests were counted once o",
    )
    world.clock.advance(30)
    # 1,000 more requests of 400 ms in the queue; those of another model do not count.
    slow = tf_serving(2_000, 200_050, 5_000)  # 400.1 s in all, 0.1 s of them before
    pages.text[page] = slow + tf_serving(9_000, 1, 1, "other").replace("# TYPE", "# HELP")
    found = world.gpus.serving()
    assert (found.details["state"], found.verdict) == ("starved", Headroom.SUSPECT), found
    assert found.details["backlog"]["queue_seconds"] == pytest.approx(0.4)
    assert found.details["backlog"]["requests"] == 1_000


def test_a_serving_that_started_anew_counts_from_there(pages: Pages) -> None:
    page = "/monitoring/prometheus/metrics"
    world = World(pages, backlog={"url": pages.url + page})
    pages.text["/metrics"] = exporter()
    pages.text[page] = tf_serving(50_000, 100, 5_000)
    world.gpus.serving()
    world.clock.advance(30)
    pages.text[page] = tf_serving(10, 1_000, 2_000)
    found = world.gpus.serving()
    assert found.details["backlog"] == {"requests": 10.0, "queue_seconds": 0.001, "latency_seconds": 0.002}


def test_the_backlog_may_come_from_the_prometheus_server(pages: Pages) -> None:
    world = World(pages, source="prometheus", backlog={"model_name": "flights", "matchers": 'job="serving"'})
    labels = {"model_name": "flights", "job": "serving"}
    pages.text["/api/v1/query"] = matrix(
        world.clock,
        ("DCGM_FI_DEV_GPU_UTIL", GPU, [99, 97]),
        (":tensorflow:serving:request_latency_sum", labels, [0.0, 2e9]),
        (":tensorflow:serving:request_latency_count", labels, [0, 1_000]),
    )
    found = world.gpus.serving()
    assert (found.details["state"], found.verdict) == ("saturated", Headroom.BUSY), found
    assert found.details["backlog"]["latency_seconds"] == pytest.approx(2.0)
    queries = [parse_qs(urlsplit(path).query)["query"][0] for path, _ in pages.asked]
    assert any(query.endswith('job="serving", model_name="flights"}[300s]') for query in queries)


@pytest.mark.parametrize(
    ("number", "value"),
    [
        (9223372036854775794.0, None),
        (140737488355328.0, None),
        (2147483632.0, None),
        (2147483635.0, None),
        (float("nan"), None),
        (0.0, 0.0),
        (81559.0, 81559.0),
    ],
)
def test_blanks_are_no_values(number: float, value: float | None) -> None:
    assert value_of(number) == value


def test_gpus_without_a_uuid_are_told_apart_by_host_and_index() -> None:
    def sample(host: str, value: float) -> Sample:
        return Sample("DCGM_FI_DEV_GPU_UTIL", {"gpu": "0", "instance": host}, EPOCH + timedelta(days=1), value)

    found = gpus_in([sample("a:9400", 1), sample("b:9400", 2)])
    assert [each.name.hostname for each in found] == ["a:9400", "b:9400"]


def test_labels_without_any_gpu_are_left_out() -> None:
    assert gpus_in([Sample("DCGM_FI_DEV_GPU_UTIL", {"job": "x"}, EPOCH, 1.0)]) == []


@pytest.mark.parametrize(
    ("name", "options", "code", "said"),
    [
        ("free", [], 0, "healthy: 1 of 1 GPU(s) have room, 1 needed"),
        ("hot", [], 3, "suspect: GPU 0 of gpu-1: 41 °C"),
        ("gone", [], 4, "unknown: "),
        ("free", ["--for", "serving", "--again-after", "10ms"], 0, "healthy: utilisation 12%"),
        ("free", ["--format", "json"], 0, '{"verdict":"healthy","reason":"1 of 1'),
    ],
)
def test_the_command_says_it_and_exits_by_it(
    pages: Pages, tmp_path: Any, name: str, options: list[str], code: int, said: str
) -> None:
    pages.text["/metrics"] = exporter()
    file = tmp_path / "driftline.yaml"
    file.write_text(
        "models:\n  m:\n    traffic: {files: logs}\ngpus:\n"
        f"  free: {{source: dcgm, url: '{pages.url}/metrics'}}\n"
        f"  hot: {{source: dcgm, url: '{pages.url}/metrics', max_temperature: 40}}\n"
        f"  gone: {{source: dcgm, url: '{pages.url}/elsewhere'}}\n"
    )
    done = CliRunner().invoke(command, ["gpu", name, "--config", str(file), *options], standalone_mode=False)
    assert (done.return_value, said in done.output) == (code, True), done.output


def test_the_command_names_what_there_is(tmp_path: Any) -> None:
    file = tmp_path / "driftline.yaml"
    file.write_text("models:\n  m:\n    traffic: {files: logs}\ngpus: {training: {source: nvml}}\n")
    done = CliRunner().invoke(command, ["gpu", "trainign", "--config", str(file)])
    assert "has no `gpus` called 'trainign'; it has: training" in str(done.exception)
