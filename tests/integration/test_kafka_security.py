"""TLS and SASL against an Apache Kafka that requires them: who may in gets in, and who may not is told why in one line."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic
from pydantic import ValidationError

from collectors.source import Source
from collectors.sources import open_sources
from monitor.clock import Deadline, SystemClock
from monitor.config.loading import load_settings
from monitor.config.settings import KafkaSettings
from monitor.cuts import Claim
from monitor.errors import ConfigError
from tests.conftest import ROOT, free_port
from tests.integration.conftest import Driftline

LIBRARIES = ROOT / ".tools" / "kafka" / "libs"
JAVA = ("java", "-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp")
SECRETS = {"right": "correct-horse-battery", "wrong": "wrong-staple-secret"}
WORD, WRONG = SECRETS["right"], SECRETS["wrong"]


@dataclass(frozen=True)
class Broker:
    """Addresses of one broker's listeners, a topic with one message, and the files with certificates."""

    folder: Path
    plaintext: str
    sasl_ssl: str
    mutual_tls: str
    sasl_plaintext: str
    topic: str

    def file(self, name: str) -> str:
        return str(self.folder / name)


def run(*arguments: str | Path) -> None:
    subprocess.run([str(each) for each in arguments], check=True, capture_output=True, timeout=60)


def make_certificates(folder: Path) -> None:
    """Write two authorities, and certificates of the broker and of a client by the first of them."""
    for authority in ("ca", "other-ca"):
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={authority}",
            "-keyout", folder / f"{authority}.key", "-out", folder / f"{authority}.pem")  # fmt: skip
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    for name, authority in (("broker", "ca"), ("client", "ca"), ("stranger", "other-ca")):
        run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
            "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.csr")  # fmt: skip
        run("openssl", "x509", "-req", "-in", folder / f"{name}.csr", "-CA", folder / f"{authority}.pem",
            "-CAkey", folder / f"{authority}.key", "-CAcreateserial", "-days", "2", "-extfile", folder / "names",
            "-out", folder / f"{name}.pem")  # fmt: skip
    store = [(folder / name).read_text() for name in ("broker.key", "broker.pem", "ca.pem")]
    (folder / "keystore.pem").write_text("".join(store))


def properties(folder: Path, ports: dict[str, int]) -> str:
    listeners = ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())
    advertised = ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items() if name != "CONTROLLER")
    plain = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    logins = "\n".join(
        f'listener.name.{listener}.plain.sasl.jaas.config={plain} user_alice="{WORD}";\n'
        f"listener.name.{listener}.scram-sha-256.sasl.jaas.config={scram}\n"
        f"listener.name.{listener}.scram-sha-512.sasl.jaas.config={scram}\n"
        f"listener.name.{listener}.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"
        for listener in ("secure", "clear")
    )
    return f"""
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{ports["CONTROLLER"]}
listeners={listeners}
advertised.listeners={advertised}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAIN
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAIN:PLAINTEXT,SECURE:SASL_SSL,MUTUAL:SSL,CLEAR:SASL_PLAINTEXT
ssl.keystore.type=PEM
ssl.keystore.location={folder}/keystore.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.mutual.ssl.client.auth=required
{logins}
log.dirs={folder}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
"""


@pytest.fixture(scope="module")
def broker(kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker of this module's own; DRIFTLINE_TEST_KAFKA says that there are jars, and Java to run them."""
    if not (LIBRARIES / ".complete").exists():
        pytest.skip("scripts/kafka.sh has not fetched Apache Kafka here")
    folder = tmp_path_factory.mktemp("secure-kafka")
    make_certificates(folder)
    ports = {name: free_port() for name in ("CONTROLLER", "PLAIN", "SECURE", "MUTUAL", "CLEAR")}
    config = folder / "server.properties"
    config.write_text(properties(folder, ports))
    java = (*JAVA, f"{LIBRARIES}/*")
    users = [f"SCRAM-SHA-{bits}=[name=alice,password={WORD}]" for bits in (256, 512)]
    run(*java, "kafka.tools.StorageTool", "format", "-t", "4L6g3nShT-eMCtK--X86sw", "-c", config,
        *(part for user in users for part in ("--add-scram", user)))  # fmt: skip
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen([*java, "kafka.Kafka", str(config)], stdout=output, stderr=output)
    try:
        plaintext = f"127.0.0.1:{ports['PLAIN']}"
        topic = f"secured-{uuid.uuid4().hex}"
        _write_one(plaintext, topic, process, log)
        secure, mutual, clear = (f"127.0.0.1:{ports[name]}" for name in ("SECURE", "MUTUAL", "CLEAR"))
        yield Broker(folder, plaintext, secure, mutual, clear, topic)
    finally:
        process.kill()
        process.wait()


def _write_one(address: str, topic: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline, pause = Deadline.after(SystemClock(), 60.0), threading.Event()
    host, _, port = address.partition(":")
    while True:
        assert process.poll() is None, log.read_text(errors="replace")[-3000:]
        assert not deadline.expired(), log.read_text(errors="replace")[-3000:]
        with socket.socket() as probe:  # clients would leave sockets open where nobody listens
            if probe.connect_ex((host, int(port))) == 0:
                break
        pause.wait(0.2)
    admin = KafkaAdminClient(bootstrap_servers=address)
    admin.create_topics([NewTopic(topic, 1, 1)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=address)
    producer.send(topic, b"{}")
    producer.flush()
    producer.close()


def write_settings(folder: Path, broker: Broker, kafka: dict[str, object]) -> Path:
    document = {
        "kafka": {"group_id": f"g-{uuid.uuid4().hex}"} | kafka,
        "models": {"m": {"traffic": {"topic": broker.topic}}},
        "collector": {"listen": f"127.0.0.1:{free_port()}"},
    }
    path = folder / "driftline.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def read_one(source: Source) -> bytes | None:
    deadline = Deadline.after(SystemClock(), 40.0)
    while not deadline.expired():
        source.discover()
        for partition in source.unclaimed():
            source.start(Claim(partition, None, 1))
        for block in source.poll(0.2):
            return block.values[0]
    return None


def sasl(broker: Broker, mechanism: str, **changes: object) -> dict[str, object]:
    return {
        "bootstrap_servers": [broker.sasl_ssl],
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "alice",
        "sasl_plain_password": WORD,
        "ssl_cafile": broker.file("ca.pem"),
    } | changes


def tls(broker: Broker, **changes: object) -> dict[str, object]:
    return {
        "bootstrap_servers": [broker.mutual_tls],
        "security_protocol": "SSL",
        "ssl_cafile": broker.file("ca.pem"),
        "ssl_certfile": broker.file("client.pem"),
        "ssl_keyfile": broker.file("client.key"),
    } | changes


@pytest.mark.kafka
@pytest.mark.parametrize("driver", ["kafka-python", "librdkafka"])
@pytest.mark.parametrize("how", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "without encryption", "a certificate"])
def test_whoever_may_reads(broker: Broker, driver: str, how: str, tmp_path: Path) -> None:
    if driver == "librdkafka":
        pytest.importorskip("confluent_kafka", reason="driftline[librdkafka] is not installed")
    if how == "a certificate":
        options = tls(broker)
    elif how == "without encryption":
        options = sasl(broker, "PLAIN", bootstrap_servers=[broker.sasl_plaintext], security_protocol="SASL_PLAINTEXT")
        del options["ssl_cafile"]
    else:
        options = sasl(broker, how)
    settings = load_settings(write_settings(tmp_path, broker, options | {"driver": driver}))
    ((_, source),) = open_sources(settings, SystemClock()).values()
    try:
        assert read_one(source) == b"{}"
    finally:
        source.close()


REFUSED: dict[str, tuple[Callable[[Broker], dict[str, object]], str]] = {
    "a wrong password": (
        lambda broker: sasl(broker, "SCRAM-SHA-512", sasl_plain_password=WRONG),
        "does not let user 'alice' sign in",
    ),
    "a wrong password with PLAIN": (
        lambda broker: sasl(broker, "PLAIN", sasl_plain_password=WRONG),
        "does not let user 'alice' sign in",
    ),
    "a wrong password without encryption": (
        lambda broker: {
            key: value
            for key, value in sasl(
                broker,
                "SCRAM-SHA-256",
                sasl_plain_password=WRONG,
                bootstrap_servers=[broker.sasl_plaintext],
                security_protocol="SASL_PLAINTEXT",
            ).items()
            if key != "ssl_cafile"
        },
        "does not let user 'alice' sign in",
    ),
    "an authority that did not sign the broker's certificate": (
        lambda broker: sasl(broker, "PLAIN", ssl_cafile=broker.file("other-ca.pem")),
        "is not to be trusted",
    ),
    "the system's authorities for a private one": (
        lambda broker: {key: value for key, value in sasl(broker, "PLAIN").items() if key != "ssl_cafile"},
        "is not to be trusted",
    ),
    "an authority file that is not there": (
        lambda broker: sasl(broker, "PLAIN", ssl_cafile=broker.file("nowhere.pem")),
        "does not exist",
    ),
    "a certificate file that is no certificate": (
        lambda broker: tls(broker, ssl_certfile=broker.file("names")),
        "not a PEM file",
    ),
    "no certificate where one is wanted": (
        lambda broker: {
            key: value
            for key, value in tls(broker).items()
            if key in {"bootstrap_servers", "security_protocol", "ssl_cafile"}
        },
        "refuses our certificate",
    ),
    "a stranger's certificate": (
        lambda broker: tls(broker, ssl_certfile=broker.file("stranger.pem"), ssl_keyfile=broker.file("stranger.key")),
        "refuses our certificate",
    ),
    "TLS with a listener that speaks none": (
        lambda broker: sasl(broker, "PLAIN", bootstrap_servers=[broker.sasl_plaintext]),
        "does not speak TLS",
    ),
}


@pytest.mark.kafka
@pytest.mark.parametrize("driver", ["kafka-python", "librdkafka"])
@pytest.mark.parametrize("what", REFUSED)
def test_whoever_may_not_is_told_why_in_one_line_without_a_secret(
    broker: Broker, driver: str, what: str, tmp_path: Path, driftline: Driftline, monkeypatch: pytest.MonkeyPatch
) -> None:
    if driver == "librdkafka":
        pytest.importorskip("confluent_kafka", reason="driftline[librdkafka] is not installed")
    options, words = REFUSED[what]
    config = write_settings(tmp_path, broker, options(broker) | {"driver": driver})
    ran = driftline("collect", "-c", config, "--log-format", "json")
    said = [line for line in ran.stderr.splitlines() if not line.startswith("{")]
    assert ran.code == 2, ran.stderr
    assert len(said) == 1, ran.stderr
    assert words in said[0]
    for line in ran.stderr.splitlines():
        assert WORD not in line
        assert WRONG not in line
    assert all(json.loads(line) for line in ran.stderr.splitlines() if line.startswith("{"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param({"security_protocol": "SASL_SSL"}, "needs `sasl_mechanism`", id="SASL without a user"),
        pytest.param({"sasl_plain_password": "x"}, "signing in needs", id="a password that would never be used"),
        pytest.param({"ssl_cafile": "x"}, "certificates need", id="an authority that would never be asked"),
        pytest.param({"security_protocol": "SSL", "ssl_keyfile": "x"}, "goes with", id="a key without a certificate"),
    ],
)
def test_settings_that_would_not_secure_anything_are_refused(options: dict[str, str], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        KafkaSettings.model_validate({"bootstrap_servers": ["a:1"]} | options)


def test_certificate_files_are_taken_from_the_settings_folder(tmp_path: Path) -> None:
    path = tmp_path / "driftline.yaml"
    path.write_text(
        "kafka: {bootstrap_servers: ['127.0.0.1:1'], security_protocol: SSL, ssl_cafile: ca.pem}\n"
        "models: {m: {traffic: {topic: t}}}\n"
    )
    settings = load_settings(path)
    assert settings.kafka is not None
    assert settings.kafka.ssl_cafile == str(tmp_path / "ca.pem")
    with pytest.raises(ConfigError, match=r"kafka.ssl_cafile: .*ca\.pem does not exist"):
        open_sources(settings, SystemClock())
