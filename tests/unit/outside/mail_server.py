"""A mail server on the loopback, as small as the tests of the mailer need."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from tests.loopback import socket_server


@dataclass
class MailServer:
    """What it answers to a command, where that is not the usual, and what came.

    Attributes:
        answers: an answer by the command (MAIL, RCPT, DATA, . for a mail's end, AUTH, EHLO).
        tls: offers STARTTLS with it.
        at_once: starts with TLS.
    """

    answers: Mapping[str, str] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    at_once: bool = False
    mails: list[bytes] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)

    @contextmanager
    def listening(self) -> Iterator[int]:
        """Yield the port."""
        with socket_server(self._serve) as port:
            yield port

    def _serve(self, connection: socket.socket, _: threading.Event) -> None:
        with ExitStack() as closing:
            if self.tls is not None and self.at_once:
                connection = closing.enter_context(self.tls.wrap_socket(connection, server_side=True))
            connection.sendall(b"220 mail.example\r\n")
            lines = closing.enter_context(connection.makefile("rb"))
            while line := lines.readline():
                command = line.decode().split(maxsplit=1)[0].upper()
                self.commands.append(command)
                reply = self._reply(command)
                connection.sendall(f"{reply}\r\n".encode())
                if command == "STARTTLS" and self.tls is not None:
                    connection = closing.enter_context(self.tls.wrap_socket(connection, server_side=True))
                    lines = closing.enter_context(connection.makefile("rb"))
                if command == "DATA" and reply.startswith("354"):
                    self.mails.append(b"".join(iter(lines.readline, b".\r\n")))
                    connection.sendall(f"{self.answers.get('.', '250 queued')}\r\n".encode())

    def _reply(self, command: str) -> str:
        offered = ["mail.example", "AUTH PLAIN", *(["STARTTLS"] if self.tls and not self.at_once else [])]
        usual = {
            "EHLO": "\r\n".join([*(f"250-{each}" for each in offered), "250 8BITMIME"]),
            "STARTTLS": "220 go ahead",
            "AUTH": "235 welcome",
            "DATA": "354 go on",
            "QUIT": "221 bye",
        }
        return self.answers.get(command, usual.get(command, "250 ok"))
