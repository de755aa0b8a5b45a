"""Settings: one tree, environment first.

Names outside ``WORKER_`` are those that users already have: ``KILI_API_KEY`` and ``KILI_API_ENDPOINT`` (the Kili
SDK's), ``REDIS_URL``, ``CELERY_BROKER_URL``. Each of them may also come from a file: ``KILI_API_KEY_FILE=/run/…``.
Everything else is nested with two underscores: ``WORKER_DELIVERY__LINGER_SECONDS=2``.

What is wrong with them is said under the names by which they were set, without their values.
"""

from __future__ import annotations

import difflib
import errno
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from worker.environment.connections import check_broker_url, check_redis_url, is_redis
from worker.settings.groups import (
    KILI_ENDPOINT,
    NONE_IF_EMPTY,
    DeliverySettings,
    FeedbackSettings,
    Group,
    HttpSettings,
    IntakeSettings,
    KiliSettings,
    LogSettings,
    ReviewSettings,
    SpoolSettings,
    TracesSettings,
    is_http,
    listed,
)
from worker.settings.source_groups import (
    KafkaSettings,
    KserveSettings,
    PageSettings,
    RabbitMqSettings,
    ServeSettings,
    SqsSettings,
)


class SecretFiles(PydanticBaseSettingsSource):
    """Reads ``NAME_FILE`` for the names that users already have."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        name = str(field.validation_alias or "")
        path = os.environ.get(f"{name}_FILE") if name else None
        return (_secret_in(Path(path)) if path else None), name or field_name, False

    def __call__(self) -> dict[str, Any]:
        values = {}
        for field_name, field in self.settings_cls.model_fields.items():
            value, key, _ = self.get_field_value(field, field_name)
            if value is not None:
                values[key] = value
        return values


def _secret_in(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except UnicodeDecodeError:
        raise OSError(errno.EILSEQ, "is no text in UTF-8", str(path)) from None


class _Environment(EnvSettingsSource):
    """The environment; one of the names that users already have counts as not set when it is empty.

    Compose files write ``KILI_API_KEY: ${KILI_API_KEY:-}``, which must not hide ``KILI_API_KEY_FILE``.
    """

    def __call__(self) -> dict[str, Any]:
        known = aliased_names()
        return {name: value for name, value in super().__call__().items() if value != "" or name not in known}


class Settings(BaseSettings):
    """Everything an operator can set."""

    model_config = SettingsConfigDict(
        env_prefix="WORKER_",
        env_nested_delimiter="__",
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    kili_api_key: SecretStr | None = Field(None, validation_alias="KILI_API_KEY", description="API key of Kili.")
    kili_api_endpoint: str = Field(
        KILI_ENDPOINT, validation_alias="KILI_API_ENDPOINT", description="Kili's GraphQL URL."
    )
    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"), validation_alias="REDIS_URL", description="Redis of the spool."
    )
    celery_broker_url: SecretStr | None = Field(
        None, validation_alias="CELERY_BROKER_URL", description="Broker of the producers; the spool's Redis by default."
    )
    projects_file: Annotated[Path | None, NONE_IF_EMPTY] = Field(
        None, description="TOML file on how each project's outputs are read."
    )
    default_project: Annotated[str | None, NONE_IF_EMPTY] = Field(
        None, description="Project of predictions that name none."
    )
    heartbeat_file: Path = Field(
        Path("/tmp/prediction-worker.heartbeat"),  # noqa: S108 - a plain status file, overwritten by each start
        description="File that the running worker touches; read by `prediction-worker health`.",
    )
    sources: Annotated[list[str], NoDecode, BeforeValidator(listed)] = Field(
        default_factory=lambda: ["celery", "stream"],
        description="Where messages come from, with commas or as a JSON list.",
    )
    kili: KiliSettings = Field(default_factory=KiliSettings)
    intake: IntakeSettings = Field(default_factory=IntakeSettings)
    serve: ServeSettings = Field(default_factory=ServeSettings)
    page: PageSettings = Field(default_factory=PageSettings)
    rabbitmq: RabbitMqSettings = Field(default_factory=RabbitMqSettings)
    kafka: KafkaSettings = Field(default_factory=KafkaSettings)
    sqs: SqsSettings = Field(default_factory=SqsSettings)
    kserve: KserveSettings = Field(default_factory=KserveSettings)
    spool: SpoolSettings = Field(default_factory=SpoolSettings)
    delivery: DeliverySettings = Field(default_factory=DeliverySettings)
    review: ReviewSettings = Field(default_factory=ReviewSettings)
    feedback: FeedbackSettings = Field(default_factory=FeedbackSettings)
    http: HttpSettings = Field(default_factory=HttpSettings)
    traces: TracesSettings = Field(default_factory=TracesSettings)
    log: LogSettings = Field(default_factory=LogSettings)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then ``…_FILE``."""
        return init_settings, _Environment(settings_cls), SecretFiles(settings_cls)

    @field_validator("kili_api_endpoint")
    @classmethod
    def _an_endpoint(cls, given: str) -> str:
        if not is_http(given):
            raise ValueError(f"no URL of an API; write https://host/api/label/v2/graphql, as {KILI_ENDPOINT}")
        return given

    @field_validator("redis_url")
    @classmethod
    def _a_redis(cls, given: SecretStr) -> SecretStr:
        check_redis_url(given.get_secret_value())
        return given

    @field_validator("celery_broker_url")
    @classmethod
    def _a_broker(cls, given: SecretStr | None) -> SecretStr | None:
        if given is not None:
            check_broker_url(given.get_secret_value())
        return given

    @property
    def redis(self) -> str:
        """URL of the spool's Redis (secret)."""
        return self.redis_url.get_secret_value()

    @property
    def broker(self) -> str:
        """URL of the broker (secret)."""
        return self.celery_broker_url.get_secret_value() if self.celery_broker_url else self.redis

    @property
    def broker_is_redis(self) -> bool:
        """Whether the mover can take the Celery source's messages inside Redis."""
        return is_redis(self.broker)


def environment_names() -> set[str]:
    """Every environment variable that is read as a setting; a whole group may be set as JSON."""
    groups = {f"WORKER_{name}".upper() for name in Settings.model_fields if is_group(name)}
    return {row[0] for row in explain()} | {f"{name}_FILE" for name in aliased_names()} | groups


def is_group(name: str) -> bool:
    """Whether a setting of the tree holds others."""
    return isinstance(_default_of(Settings.model_fields[name]), Group)


def _default_of(field: FieldInfo) -> Any:
    return field.get_default(call_default_factory=True, validated_data={})


def explain() -> list[tuple[str, str, str]]:
    """(environment name, default, meaning) of every setting, in the order of the tree."""
    rows: list[tuple[str, str, str]] = []
    for name, field in Settings.model_fields.items():
        default = _default_of(field)
        if isinstance(default, Group):
            rows += [
                (f"WORKER_{name}__{sub}".upper(), _shown(getattr(default, sub)), child.description or "")
                for sub, child in type(default).model_fields.items()
            ]
        else:
            rows.append(
                (str(field.validation_alias or f"WORKER_{name}".upper()), _shown(default), field.description or "")
            )
    return rows


def aliased_names() -> list[str]:
    """The variables that users already have."""
    return [str(field.validation_alias) for field in Settings.model_fields.values() if field.validation_alias]


def _shown(value: Any) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else "" if value is None else str(value)


NEAR = 0.7
"""How alike (difflib's ratio) a known name must be to be offered for an unknown one."""

_OTHERS = re.compile(r"WORKER_(SERVICE_(HOST|PORT\w*)|PORT(_\w+)?|NAME|ENV_\w+)")
"""What Docker and Kubernetes put into the environment for a service that is called worker."""


def mistakes(error: ValidationError | SettingsError) -> list[str]:
    """What is wrong with the settings, each under the name of its environment variable, without their values."""
    if isinstance(error, SettingsError):
        return [f"{name}: no JSON; set its parts one by one, such as {name}__…" for name in _groups_that_are_no_json()]
    return [_mistake(one) for one in error.errors()]


def unknown_names() -> Iterator[tuple[str, str | None]]:
    """Variables ``WORKER_…`` that are no setting, each with the setting whose name is nearest, if one is near."""
    known = environment_names()
    for name in sorted(os.environ):
        folded = name.upper()
        if folded.startswith("WORKER_") and folded not in known and not _OTHERS.fullmatch(folded):
            yield name, nearest_name(folded)


def nearest_name(name: str) -> str | None:
    """The setting whose name is most like this one, None when none is near."""
    plain = {_spelling(known): known for known in sorted(environment_names())}
    found = difflib.get_close_matches(_spelling(name), plain, n=1, cutoff=NEAR)
    return plain[found[0]] if found else None


def _spelling(name: str) -> str:
    return name.removeprefix("WORKER_").replace("__", "_")


def _mistake(error: ErrorDetails) -> str:
    name = _variable(error["loc"])
    if error["type"] == "extra_forbidden":
        near = nearest_name(name)
        return f"{name}: no such setting" + (f"; did you mean {near}?" if near else "")
    return f"{name}: {error['msg'].removeprefix('Value error, ')}"


def _variable(loc: Sequence[int | str]) -> str:
    first, *rest = map(str, loc)
    if first in aliased_names():
        return first
    group = first in Settings.model_fields and is_group(first)
    return "__".join([f"WORKER_{first}", *(rest[:1] if group else ())]).upper()


def _groups_that_are_no_json() -> Iterator[str]:
    for name in filter(is_group, Settings.model_fields):
        variable = f"WORKER_{name}".upper()
        try:
            json.loads(os.environ.get(variable) or "{}")
        except ValueError:
            yield variable
