"""Signs in at one broker and leaves again, to learn whether the user may; changes with Kafka's SASL requests.

The clients try a refused user again until their time-out and then say that nobody answers. Frames are as in Kafka's guide:
SaslHandshake version 1 and SaslAuthenticate version 0, request header version 1, big-endian.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

from kafka.net.sasl import get_sasl_mechanism

from monitor.config.settings import KafkaSettings

_HANDSHAKE = 17
_AUTHENTICATE = 36
_CLIENT = b"driftline"
_LONGEST_ANSWER_BYTES = 2**16


def signs_in(connection: socket.socket, settings: KafkaSettings) -> bool:
    """Return false where the broker refuses the user or the mechanism; true also where it ends the connection without a word.

    Raises:
        OSError: the connection is gone, or the broker takes too long.
    """
    mechanism: Any = get_sasl_mechanism(settings.sasl_mechanism)(**_login(settings))
    try:
        name = (settings.sasl_mechanism or "").encode()
        answer = _ask(connection, _HANDSHAKE, 1, struct.pack(">h", len(name)) + name)
        if _error(answer):
            return False
        while not mechanism.is_done():
            token = mechanism.auth_bytes()
            answer = _ask(connection, _AUTHENTICATE, 0, struct.pack(">i", len(token)) + token)
            if _error(answer):
                return False
            mechanism.receive(_bytes(answer))
        return bool(mechanism.is_authenticated())
    except (struct.error, ValueError, KeyError):  # not what we understand: the client may understand it
        return True


def _login(settings: KafkaSettings) -> dict[str, str]:
    password = settings.sasl_plain_password
    return {
        "host": "",
        "sasl_mechanism": settings.sasl_mechanism or "",
        "sasl_plain_username": settings.sasl_plain_username or "",
        "sasl_plain_password": "" if password is None else password.get_secret_value(),
    }


def _ask(connection: socket.socket, key: int, version: int, body: bytes) -> bytes:
    """Return the body of the answer."""
    request = struct.pack(">hhih", key, version, 0, len(_CLIENT)) + _CLIENT + body
    connection.sendall(struct.pack(">i", len(request)) + request)
    (size,) = struct.unpack(">i", _exactly(connection, 4))
    if not 4 <= size <= _LONGEST_ANSWER_BYTES:
        raise ValueError("not an answer of Kafka")
    return _exactly(connection, size)[4:]


def _exactly(connection: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        more = connection.recv(count - len(found))
        if not more:
            raise ValueError("the broker ended the connection")
        found += more
    return found


def _error(answer: bytes) -> int:
    (code,) = struct.unpack_from(">h", answer)
    return int(code)


def _bytes(answer: bytes) -> bytes:
    """Return the token of an answer to SaslAuthenticate: after the error lies a nullable text."""
    (length,) = struct.unpack_from(">h", answer, 2)
    at = 4 + max(length, 0)
    (size,) = struct.unpack_from(">i", answer, at)
    return answer[at + 4 : at + 4 + size]
