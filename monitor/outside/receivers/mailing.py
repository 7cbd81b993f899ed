"""A receiver that is sent mail, over SMTP; changes with how mail servers are spoken to."""

from __future__ import annotations

import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog

from monitor.alert.notification import Notification
from monitor.alert.payloads.mail import mail
from monitor.config.receivers import ReceiverSettings
from monitor.errors import TransientError
from monitor.outside.http import Refused
from monitor.outside.receivers.sender import rendering

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Mailer:
    """Sends each message over a connection of its own; settings are those of `type: email`."""

    name: str
    settings: ReceiverSettings
    _context: ssl.SSLContext = field(default_factory=ssl.create_default_context, init=False, repr=False)

    def send(self, notification: Notification, created_at: datetime, now: datetime) -> None:  # noqa: ARG002 (nothing is signed)
        """Send a mail; see `Sender`. Where a server takes it for some of the recipients only, it is taken."""
        with rendering():
            message = mail(notification, self.settings.from_ or "", self.settings.to, created_at)
        with self._told_as_ours(), self._connected() as server:
            turned_away = server.send_message(message)
            with suppress(smtplib.SMTPException, OSError):  # it is taken, whatever is said to a farewell
                server.quit()
        if turned_away:
            _log.warning("recipients_turned_away", receiver=self.name, count=len(turned_away))

    @contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        context = self._context if self.settings.tls == "tls" else None
        seconds = self.settings.timeout.total_seconds()
        # Not its own context: that one says farewell too, and fails where the answer is not polite.
        with closing(_Bounded(self.settings.host or "", self.settings.smtp_port, seconds, context)) as server:
            if self.settings.tls == "starttls":
                server.starttls(context=self._context)
            if self.settings.username is not None and self.settings.password is not None:
                server.login(self.settings.username, self.settings.password.get_secret_value())
            yield server

    @contextmanager
    def _told_as_ours(self) -> Iterator[None]:
        """Turn the library's errors into ours; their texts are left out, which may repeat addresses and the password."""
        where = f"smtp://{self.settings.host}:{self.settings.smtp_port}"
        try:
            yield
        except smtplib.SMTPNotSupportedError:
            raise Refused(f"{where} does not offer STARTTLS, or no way to sign in") from None
        except smtplib.SMTPRecipientsRefused as error:
            raise _by_code(where, min((code for code, _ in error.recipients.values()), default=0)) from None
        except smtplib.SMTPResponseException as error:
            raise _by_code(where, error.smtp_code) from None
        except TimeoutError:
            raise TransientError(f"{where} did not answer in time") from None
        except smtplib.SMTPException:
            raise TransientError(f"{where} broke the connection off, or did not answer in time") from None
        except UnicodeError:  # a label of the host's name, the user, the password, the mail
            raise Refused(
                f"{where}: its name, the user, the password or the mail has characters that cannot be sent"
            ) from None
        except OSError as error:
            raise TransientError(f"{where}: {error.strerror or 'no connection'}") from None


class _Bounded(smtplib.SMTP):
    """A connection that is cut `seconds` after it was made; the library's own time-outs are of one read each."""

    def __init__(self, host: str, port: int, seconds: float, context: ssl.SSLContext | None) -> None:
        self._wrapping = context
        self._watch: threading.Timer | None = None
        try:
            super().__init__(host, port, timeout=seconds)
        except BaseException:
            self.close()
            raise

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        # Overridden as the library's own SMTP_SSL does.
        plain = socket.create_connection((host, port), timeout)
        handle = plain.dup()  # of the connection itself, whatever object TLS makes of the socket
        self._watch = threading.Timer(timeout, _cut, [handle])
        self._watch.daemon = True
        self._watch.start()
        try:
            return self._wrapping.wrap_socket(plain, server_hostname=host) if self._wrapping else plain
        except BaseException:
            plain.close()
            raise

    def close(self) -> None:
        """Close the connection, and watch it no longer."""
        super().close()
        if self._watch is not None:
            self._watch.cancel()
            _close(self._watch)


def _cut(handle: socket.socket) -> None:
    try:
        handle.shutdown(socket.SHUT_RDWR)
    except OSError:  # it is closed already
        return


def _close(watch: Any) -> None:
    for handle in watch.args:
        handle.close()


def _by_code(where: str, code: int) -> Exception:
    said = f"{where} answered {code}"
    return Refused(said) if 500 <= code < 600 else TransientError(said)
