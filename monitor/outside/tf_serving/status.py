"""What versions of a model TensorFlow Serving has loaded, by its REST API; changes with `/v1/models/NAME`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from monitor.errors import InputError, TransientError

AVAILABLE, ENDED = "AVAILABLE", "END"
_MAX_MESSAGE = 300
_UNKNOWN = (400, 404)


class Answered(Protocol):
    """What a server said."""

    @property
    def status(self) -> int:
        """The status."""
        ...

    def json(self) -> Any:
        """Return the body as JSON; raises InputError."""
        ...


class Client(Protocol):
    """Who asks; `monitor.outside.http.HttpClient` does."""

    def send(self, method: str, url: str, *, timeout_seconds: float) -> Answered:
        """Return the answer, whatever its status; raises TransientError or InputError."""
        ...


@dataclass(frozen=True, slots=True)
class VersionStatus:
    """A version as the server sees it: `state` is START, LOADING, AVAILABLE, UNLOADING or END; `error` is most often empty."""

    version: int
    state: str
    error: str = ""

    @property
    def available(self) -> bool:
        """Whether it answers."""
        return self.state == AVAILABLE

    @property
    def failed(self) -> bool:
        """Whether it could not be loaded."""
        return self.state == ENDED and bool(self.error)


@dataclass(frozen=True, slots=True)
class StatusPage:
    """The status of one model.

    Attributes:
        address: of the REST port: `http://host:port`.
        timeout_seconds: of one look.
    """

    client: Client
    address: str
    model: str
    timeout_seconds: float

    def versions(self) -> dict[int, VersionStatus]:
        """Return what is known of the versions, also of those that were unloaded; empty where the model is not known.

        Raises:
            TransientError: the server does not answer.
            InputError: it answers with something else than a status.
        """
        return self._asked("")

    def labelled(self, label: str) -> int | None:
        """Return which version a label stands for by now; None as long as the server does not know it. Errors as above."""
        found = self._asked(f"/labels/{quote(label, safe='')}")
        return next(iter(found), None)

    def _asked(self, what: str) -> dict[int, VersionStatus]:
        url = f"{self.address.rstrip('/')}/v1/models/{quote(self.model, safe='')}{what}"
        answer = self.client.send("GET", url, timeout_seconds=self.timeout_seconds)
        if answer.status in _UNKNOWN:
            return {}
        if answer.status != 200:
            raise TransientError(f"{self.address}: the status of {self.model} is answered with {answer.status}")
        try:
            listed = [_status(one) for one in answer.json()["model_version_status"]]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{self.address}: what is answered is no status of a model") from error
        return {one.version: one for one in listed}


def _status(one: Any) -> VersionStatus:
    said = one.get("status") or {}
    code, message = str(said.get("error_code", "OK")), " ".join(str(said.get("error_message", "")).split())
    error = "" if code in ("OK", "0") else f"{code}: {message}"[:_MAX_MESSAGE]
    return VersionStatus(int(one["version"]), str(one["state"]), error)
