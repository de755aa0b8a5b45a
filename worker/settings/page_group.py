"""Settings of the operator's page."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr, field_validator, model_validator

from worker.settings.groups import NONE_IF_EMPTY, Group

SHORTEST_TOKEN = 16


class PageSettings(Group):
    """The operator's page, which `serve` shows once one of the tokens is set."""

    token: Annotated[SecretStr | None, NONE_IF_EMPTY] = Field(
        None, description="Token of operators of the page, who may see and act; 16 characters at least."
    )
    read_token: Annotated[SecretStr | None, NONE_IF_EMPTY] = Field(
        None, description="Token of readers of the page, who may see; 16 characters at least."
    )
    session_hours: float = Field(12.0, gt=0, description="How long a login lasts.")
    https: bool = Field(
        False, description="The page is reached over HTTPS: its cookie is sent over nothing else. Set it behind TLS."
    )
    replay_rate: float = Field(500.0, ge=1, description="Dead letters that the page replays or drops in a second.")

    @field_validator("token", "read_token")
    @classmethod
    def _hard_to_guess(cls, given: SecretStr | None) -> SecretStr | None:
        if given is not None and len(given.get_secret_value()) < SHORTEST_TOKEN:
            raise ValueError(f"is too short; at least {SHORTEST_TOKEN} characters, such as of `openssl rand -hex 16`")
        return given

    @model_validator(mode="after")
    def _apart(self) -> PageSettings:
        if self.token is not None and self.token == self.read_token:
            raise ValueError("token and read_token are the same; readers could act")
        return self

    @property
    def is_on(self) -> bool:
        """Whether anybody can log in."""
        return self.token is not None or self.read_token is not None
