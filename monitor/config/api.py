"""What `api` may say; changes with how the HTTP side is set up."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, StringConstraints

from monitor.config.strict import Strict

_LARGEST_PORT = 65_535


def _with_port(address: str) -> str:
    if int(address.rpartition(":")[2]) > _LARGEST_PORT:
        raise ValueError(f"a port is at most {_LARGEST_PORT}")
    return address


Address = Annotated[str, StringConstraints(pattern=r"^.+:\d{1,5}$"), AfterValidator(_with_port)]
"""HOST:PORT to listen at."""


class ApiSettings(Strict):
    """The HTTP side."""

    listen: Address = Field("127.0.0.1:8080", description="Address of the API and of /metrics.")
    public_url: str | None = Field(
        None,
        pattern=r"^https?://[^/?#]+[^?#]*$",
        description="Address under which people and trainers reach the API, for links.",
    )
    alertmanager_token: SecretStr | None = Field(
        None,
        min_length=16,
        description="Bearer token of an Alertmanager that posts here, of at least 16 characters; write ${NAME} and keep it out "
        "of the file.",
    )
