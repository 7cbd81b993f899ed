"""How kafka-python's clients reach the brokers of the settings; changes with a setting, or with its names."""

from __future__ import annotations

from typing import Any

from monitor.config.settings import KafkaSettings

_RECONNECT_MS = 2_000


def kafka_python_client(settings: KafkaSettings) -> dict[str, Any]:
    """Return how kafka-python's clients reach the brokers; holds secrets, so it must not be shown."""
    password = settings.sasl_plain_password
    options = {
        "bootstrap_servers": list(settings.bootstrap_servers),
        "security_protocol": settings.security_protocol,
        "sasl_mechanism": settings.sasl_mechanism,
        "sasl_plain_username": settings.sasl_plain_username,
        "sasl_plain_password": None if password is None else password.get_secret_value(),
        "ssl_cafile": settings.ssl_cafile,
        "ssl_certfile": settings.ssl_certfile,
        "ssl_keyfile": settings.ssl_keyfile,
        "reconnect_backoff_max_ms": _RECONNECT_MS,
    }
    return {name: value for name, value in options.items() if value is not None}
