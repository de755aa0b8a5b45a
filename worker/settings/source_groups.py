"""Settings of the sources that messages come from, each a group, and of the operator's page beside the HTTP source."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from worker.settings.groups import NONE_IF_EMPTY, Group, listed


class ServeSettings(Group):
    """The HTTP source."""

    host: str = Field("localhost", min_length=1, description="Address that the HTTP source listens on.")
    port: int = Field(8080, ge=0, le=65535, description="Port of the HTTP source; 0 takes a free one.")
    tokens: Annotated[list[SecretStr], NoDecode, BeforeValidator(listed)] = Field(
        default_factory=list, description="Bearer tokens that producers may use, with commas or as a JSON list."
    )
    hmac_keys: Annotated[list[SecretStr], NoDecode, BeforeValidator(listed)] = Field(
        default_factory=list,
        description="Keys that producers may sign with as Standard Webhooks describes, with commas or as a JSON list.",
    )
    secrets_file: Annotated[Path | None, NONE_IF_EMPTY] = Field(
        None, description="File with further lines `token …` and `hmac …`, read again when it changes."
    )
    is_open: bool = Field(False, description="Take messages from everybody, on an address that others can reach.")
    sns_topics: Annotated[list[str], NoDecode, BeforeValidator(listed)] = Field(
        default_factory=list, description="ARNs of SNS topics whose signed notifications are taken."
    )
    max_body_bytes: int = Field(
        16_000_000, ge=1_000, description="Largest body of a request, compressed and uncompressed."
    )
    body_seconds: float = Field(20.0, gt=0, description="How long a request's head and body may each take to arrive.")
    concurrency: int = Field(64, ge=1, le=10_000, description="Requests that are handled at a time.")


class RabbitMqSettings(Group):
    """The RabbitMQ source."""

    url: Annotated[SecretStr | None, NONE_IF_EMPTY] = Field(
        None, description="amqp:// URL of the RabbitMQ source; the broker's by default."
    )
    queue: str = Field("predictions.json", min_length=1, description="Queue of the RabbitMQ source.")


class KafkaSettings(Group):
    """The Kafka source."""

    brokers: str = Field("localhost:9092", min_length=1, description="Kafka brokers, with commas.")
    topics: Annotated[list[str], NoDecode, BeforeValidator(listed)] = Field(
        default_factory=list, description="Topics that are read, with commas or as a JSON list."
    )
    group: str = Field("prediction-worker", min_length=1, description="Consumer group.")
    security_protocol: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = Field(
        "plaintext", description="How the connection to the brokers is secured."
    )
    sasl_mechanism: Annotated[str | None, NONE_IF_EMPTY] = Field(
        None, description="PLAIN or SCRAM-SHA-512, for example."
    )
    sasl_username: Annotated[str | None, NONE_IF_EMPTY] = Field(None, description="User.")
    sasl_password: Annotated[SecretStr | None, NONE_IF_EMPTY] = Field(None, description="Password.")
    ssl_ca_file: Annotated[Path | None, NONE_IF_EMPTY] = Field(None, description="Certificates that are trusted.")
    ssl_certificate_file: Annotated[Path | None, NONE_IF_EMPTY] = Field(None, description="The worker's certificate.")
    ssl_key_file: Annotated[Path | None, NONE_IF_EMPTY] = Field(None, description="The certificate's key.")
    options: Annotated[list[str], NoDecode, BeforeValidator(listed)] = Field(
        default_factory=list, description="Further options of librdkafka: name=value, with commas or as a JSON list."
    )


class SqsSettings(Group):
    """The SQS source."""

    queue_urls: Annotated[list[str], NoDecode, BeforeValidator(listed)] = Field(
        default_factory=list, description="URLs of the queues that are read, with commas or as a JSON list."
    )
    region: Annotated[str | None, NONE_IF_EMPTY] = Field(
        None, description="AWS region; that of the environment by default."
    )
    endpoint_url: Annotated[str | None, NONE_IF_EMPTY] = Field(None, description="Another endpoint than Amazon's.")
    visibility_seconds: int = Field(
        60, ge=3, le=43_200, description="How long a received message is hidden from others; extended while it waits."
    )


class KserveSettings(Group):
    """How the events of KServe's inference logger are read."""

    mode: Literal["all", "response"] = Field(
        "all", description="The logger's mode: responses with their requests, or responses alone."
    )
    pair_seconds: float = Field(600.0, gt=0, description="How long a request and its response wait for one another.")
    max_halves: int = Field(10_000, ge=1, description="Requests and responses that wait for one another at most.")
    id_key: str = Field(
        "external_id", min_length=1, description="Key of a request's instances, or input tensor, with the asset's name."
    )
    url_key: str = Field("image_url", min_length=1, description="Key, or input tensor, with the asset's link.")
    text_key: str = Field("text", min_length=1, description="Key, or input tensor, with the asset's text.")
    model_version: str = Field("unversioned", min_length=1, description="Version of models whose events name none.")


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
