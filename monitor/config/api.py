"""What `api` may say; changes with how the HTTP side is set up."""

from __future__ import annotations

from pydantic import Field, SecretStr

from monitor.config.strict import Strict

ADDRESS = r"^.+:\d{1,5}$"


class ApiSettings(Strict):
    """The HTTP side."""

    listen: str = Field("127.0.0.1:8080", description="Address of the API and of /metrics.", pattern=ADDRESS)
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
