"""What the settings of Kafka are called by each driver; changes with a setting, or with a driver's names.

Both drivers mean the same by them, so that collectors with either may share a group.
"""

from __future__ import annotations

from typing import Any

from monitor.config.settings import KafkaSettings

MAX_POLL_RECORDS = 20_000
_FETCH_MAX_BYTES = 32 * 2**20
_MAX_PARTITION_FETCH_BYTES = 8 * 2**20
_METADATA_MAX_AGE_SECONDS = 10.0
_QUEUED_KBYTES = 64 * 1024
_POLL_INTERVAL_SECONDS = 300.0


def kafka_python_group(settings: KafkaSettings, session_timeout_seconds: float) -> dict[str, Any]:
    """Return how a kafka-python consumer takes part in the group, beside `monitor.config.kafka_clients.kafka_python_client`."""
    return {
        "group_id": settings.group_id,
        "enable_auto_commit": False,
        "auto_offset_reset": "none",
        "isolation_level": "read_committed",
        "allow_auto_create_topics": False,
        "session_timeout_ms": int(session_timeout_seconds * 1000),
        "heartbeat_interval_ms": int(session_timeout_seconds * 200),
        "metadata_max_age_ms": int(_METADATA_MAX_AGE_SECONDS * 1000),
        "max_poll_records": MAX_POLL_RECORDS,
        "fetch_max_bytes": _FETCH_MAX_BYTES,
        "max_partition_fetch_bytes": _MAX_PARTITION_FETCH_BYTES,
        "metrics_enabled": False,
    }


def librdkafka_client(settings: KafkaSettings) -> dict[str, Any]:
    """Return how librdkafka's clients reach the brokers; holds secrets, so it must not be shown."""
    password = settings.sasl_plain_password
    options = {
        "bootstrap.servers": ",".join(settings.bootstrap_servers),
        "security.protocol": settings.security_protocol,
        "sasl.mechanism": settings.sasl_mechanism,
        "sasl.username": settings.sasl_plain_username,
        "sasl.password": None if password is None else password.get_secret_value(),
        "ssl.ca.location": settings.ssl_cafile,
        "ssl.certificate.location": settings.ssl_certfile,
        "ssl.key.location": settings.ssl_keyfile,
    }
    return {name: value for name, value in options.items() if value is not None}


def librdkafka_group(settings: KafkaSettings, session_timeout_seconds: float) -> dict[str, Any]:
    """Return how a librdkafka consumer takes part in the group, beside `librdkafka_client`."""
    return {
        "group.id": settings.group_id,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        "allow.auto.create.topics": False,
        "enable.partition.eof": True,
        # Of what both drivers know, so that they may share a group.
        "partition.assignment.strategy": "range,roundrobin",
        "session.timeout.ms": int(session_timeout_seconds * 1000),
        "heartbeat.interval.ms": int(session_timeout_seconds * 200),
        "max.poll.interval.ms": int(_POLL_INTERVAL_SECONDS * 1000),
        "topic.metadata.refresh.interval.ms": int(_METADATA_MAX_AGE_SECONDS * 1000),
        "queued.max.messages.kbytes": _QUEUED_KBYTES,
        "fetch.max.bytes": _FETCH_MAX_BYTES,
        "max.partition.fetch.bytes": _MAX_PARTITION_FETCH_BYTES,
    }
