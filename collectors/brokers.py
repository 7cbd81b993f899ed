"""Whether any broker can be talked to at all, in words that say what to do; changes with the ways in which connecting fails.

The clients' own words for a wrong certificate or password are "no brokers available", after half a minute: a probe finds out.
"""

from __future__ import annotations

import socket
import ssl
import threading

from collectors.signing_in import signs_in
from monitor.clock import Deadline
from monitor.config.settings import KafkaSettings
from monitor.errors import ConfigError, TransientError

_PAUSE_SECONDS = 0.25
_ANSWER_SECONDS = 5.0


def await_any(settings: KafkaSettings, deadline: Deadline) -> None:
    """Return when one of the servers listens, with TLS shows a certificate that we trust, and with SASL lets the user in.

    Raises:
        ConfigError: an address is none, a certificate file cannot be used, or the broker and we refuse each other.
        TransientError: none of them listens before `deadline`.
    """
    context = _context(settings)
    while True:
        for server in settings.bootstrap_servers:
            host, _, port = server.rpartition(":")
            try:
                where = host.strip("[]"), int(port)
            except ValueError as error:
                raise ConfigError(f"kafka.bootstrap_servers: {server!r} is not host:port") from error
            if _lets_in(settings, server, where, context, min(max(deadline.remaining(), 1.0), _ANSWER_SECONDS)):
                return
        if deadline.expired():
            raise TransientError(no_broker(settings))
        threading.Event().wait(min(_PAUSE_SECONDS, deadline.remaining()))


def no_broker(settings: KafkaSettings) -> str:
    """Say that nobody answers."""
    servers = ", ".join(settings.bootstrap_servers)
    return f"no Kafka broker answers at {servers}: is one running, is kafka.bootstrap_servers right?"


def refused(settings: KafkaSettings) -> ConfigError:
    """Return the error for a user whom the brokers refuse."""
    return ConfigError(
        f"kafka: {', '.join(settings.bootstrap_servers)} does not let user {settings.sasl_plain_username!r} sign in: are "
        "kafka.sasl_plain_username, kafka.sasl_plain_password and kafka.sasl_mechanism right?"
    )


def _context(settings: KafkaSettings) -> ssl.SSLContext | None:
    if not settings.security_protocol.endswith("SSL"):
        return None
    name = "ssl_cafile"
    try:
        context = ssl.create_default_context(cafile=settings.ssl_cafile)
        name = "ssl_certfile"
        if settings.ssl_certfile is not None:
            context.load_cert_chain(settings.ssl_certfile, settings.ssl_keyfile)
    except FileNotFoundError as error:
        missing = settings.ssl_cafile if name == "ssl_cafile" else f"{settings.ssl_certfile} or {settings.ssl_keyfile}"
        raise ConfigError(f"kafka.{name}: {missing} does not exist") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"kafka.{name}: not a PEM file that can be used ({_why(error)})") from error
    return context


def _lets_in(
    settings: KafkaSettings,
    server: str,
    where: tuple[str, int],
    context: ssl.SSLContext | None,
    timeout_seconds: float,
) -> bool:
    try:
        with socket.create_connection(where, timeout=timeout_seconds) as plain:
            if context is None:
                return _signed_in(plain, settings)
            with context.wrap_socket(plain, server_hostname=where[0]) as secure:
                return _signed_in(secure, settings) if settings.sasl_mechanism else _stays(secure)
    except ssl.SSLCertVerificationError as error:
        raise ConfigError(
            f"kafka: the certificate of {server} is not to be trusted ({error.verify_message}): is kafka.ssl_cafile right?"
        ) from error
    except ssl.SSLError as error:
        if "alert" in str(error).lower():
            raise ConfigError(
                f"kafka: {server} refuses our certificate ({_why(error)}): are kafka.ssl_certfile and kafka.ssl_keyfile right?"
            ) from error
        raise ConfigError(
            f"kafka: {server} does not speak TLS ({_why(error)}): is kafka.security_protocol right?"
        ) from error
    except OSError:
        return False


def _signed_in(connection: socket.socket, settings: KafkaSettings) -> bool:
    if settings.sasl_mechanism is not None and not signs_in(connection, settings):
        raise refused(settings)
    return True


def _stays(secure: ssl.SSLSocket) -> bool:
    """Say whether the broker keeps the connection: in TLS 1.3 it refuses our certificate only after the handshake."""
    secure.settimeout(0.2)
    try:
        return secure.recv(1) != b""
    except TimeoutError:
        return True


def _why(error: Exception) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
    return str(reason).replace("_", " ").lower()
