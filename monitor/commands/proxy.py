"""`driftline proxy`: the sidecar that captures what a model server answers. Changes with its options."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from monitor.commands.options import log_option

if TYPE_CHECKING:
    from collectors.capture.proxy import Proxy
    from monitor.config.settings import KafkaSettings
    from monitor.health import Health

_SWITCH_SECONDS = 0.0002
"""How long the thread that encodes may keep the one that serves from going on."""
_TURN_SECONDS = 1.0
_STUCK_SECONDS = 30.0


@click.command("proxy", context_settings={"auto_envvar_prefix": "DRIFTLINE_PROXY"})
@click.option("--upstream", required=True, metavar="URL", help="REST address of the model server.")
@click.option(
    "--listen", default="127.0.0.1:8500", show_default=True, metavar="HOST:PORT", help="Where clients connect."
)
@click.option("--topic", required=True, help="Kafka topic to write PredictionLog messages to.")
@click.option("--bootstrap-servers", default="", metavar="HOST:PORT,...", help="Kafka brokers to start from.")
@click.option(
    "--config",
    "-c",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings file whose `kafka` section says how to reach Kafka, for TLS and passwords.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="Share of requests to capture, chosen by the hash of the request id.",
)
@click.option(
    "--request-id-header",
    default="x-request-id",
    show_default=True,
    metavar="NAME",
    help="Header with the request id; one is made where it is missing, and returned.",
)
@click.option(
    "--max-buffer-bytes",
    type=click.IntRange(2**16),
    default=32 * 2**20,
    show_default=True,
    help="Memory for what waits for Kafka; what does not fit is dropped and counted.",
)
@click.option(
    "--max-body-bytes",
    type=click.IntRange(0),
    default=2**20,
    show_default=True,
    help="A larger request or answer is passed on without being captured.",
)
@click.option(
    "--timeout",
    "timeout_seconds",
    type=click.FloatRange(0, min_open=True),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long the model server may stay silent before the client gets status 504.",
)
@click.option(
    "--version-poll",
    "poll_seconds",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How often to ask which version answers by default; 0 for never.",
)
@click.option(
    "--trust-event-time",
    is_flag=True,
    help="Let requests say when they happened, in x-driftline-event-time: for replays of old traffic.",
)
@click.option("--metrics-listen", metavar="HOST:PORT", help="Where /metrics is served; nowhere by default.")
@click.option(
    "--drain",
    "drain_seconds",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="On SIGTERM, time to answer what was asked, and again as much to send what was captured.",
)
@log_option
def command(
    *,
    upstream: str,
    listen: str,
    topic: str,
    bootstrap_servers: str,
    config: Path | None,
    rate: float,
    request_id_header: str,
    max_buffer_bytes: int,
    max_body_bytes: int,
    timeout_seconds: float,
    poll_seconds: float,
    trust_event_time: bool,
    metrics_listen: str | None,
    drain_seconds: float,
    log_format: str,
) -> None:
    """Pass requests on to TensorFlow Serving's REST API, and copy what it answers to Kafka.

    Serving never waits for the copy: a broker that is away, or slow, costs copies, which are counted, and no request.
    Every option can be set by an environment variable, such as DRIFTLINE_PROXY_UPSTREAM.

    \b
    Example:
      driftline proxy --upstream http://127.0.0.1:8501 --listen 127.0.0.1:8500 \
          --topic flights.requests --bootstrap-servers 127.0.0.1:9092
    """
    from prometheus_client import CollectorRegistry

    from collectors.capture.kafka_sink import KafkaSink
    from collectors.capture.metrics import ProxyMetrics
    from collectors.capture.producer import CaptureProducer
    from collectors.capture.proxy import Proxy
    from collectors.capture.relay import ProxySettings
    from collectors.capture.upstream import Address
    from monitor.clock import SystemClock
    from monitor.health import Health
    from monitor.logs import configure_logs
    from monitor.serving import serve

    configure_logs(as_json=log_format == "json")
    settings = ProxySettings(
        Address.parse(upstream), request_id_header, max_body_bytes, timeout_seconds, poll_seconds, trust_event_time
    )
    host, port = _host_and_port(listen)
    kafka = _kafka(bootstrap_servers, config)
    registry = CollectorRegistry()
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.collect()
    gc.freeze()  # what was imported need not be looked through again, which takes tens of milliseconds
    producer = CaptureProducer(
        lambda: KafkaSink(kafka, topic), rate=rate, max_buffer_bytes=max_buffer_bytes, registry=registry
    )
    proxy = Proxy(settings, producer, ProxyMetrics(registry))
    health = Health(SystemClock())
    stop_metrics = serve(metrics_listen, registry, health) if metrics_listen else lambda: None
    try:
        _run(proxy, host, port, drain_seconds, health)
    finally:
        producer.close(drain_seconds)
        stop_metrics()


def _run(proxy: Proxy, host: str, port: int, drain_seconds: float, health: Health) -> None:
    """Serve until SIGTERM or SIGINT, then drain; raises ConfigError where the address cannot be listened on."""
    import structlog
    import uvloop

    from monitor.errors import ConfigError

    log = structlog.get_logger("driftline.capture")

    async def serving() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        try:
            taken = await proxy.start(host, port)
        except OSError as error:
            raise ConfigError(f"--listen {host}:{port}: {error.strerror or error}") from error
        log.info("started", listen=f"{host}:{taken}", upstream=str(proxy.settings.upstream))
        health.started()
        turned = health.loop("proxy", _STUCK_SECONDS)
        while not stop.is_set():
            turned()
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _TURN_SECONDS)
        health.stopping()
        log.info("draining")
        await proxy.close(drain_seconds)
        log.info("stopped")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serving())


def _host_and_port(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65_535:
        raise click.BadParameter(f"{listen!r} is not HOST:PORT", param_hint="--listen")
    return host.strip("[]"), int(port)


def _kafka(bootstrap_servers: str, config: Path | None) -> KafkaSettings:
    """Return how to reach Kafka; brokers named on the command line go before those of the file."""
    from monitor.config.loading import load_settings
    from monitor.config.settings import KafkaSettings

    named = [one.strip() for one in bootstrap_servers.split(",") if one.strip()]
    given = load_settings(config).kafka if config else None
    if given is not None:
        return given.model_copy(update={"bootstrap_servers": named}) if named else given
    if not named:
        raise click.UsageError("say where Kafka is: --bootstrap-servers, or --config with a `kafka` section")
    return KafkaSettings(bootstrap_servers=named)
