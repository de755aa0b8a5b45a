"""Settings: one tree, environment first.

Names outside ``WORKER_`` are those that users already have: ``KILI_API_KEY`` and ``KILI_API_ENDPOINT`` (the Kili
SDK's), ``REDIS_URL``, ``CELERY_BROKER_URL``. Each of them may also come from a file: ``KILI_API_KEY_FILE=/run/…``.
Everything else is nested with two underscores: ``WORKER_DELIVERY__LINGER_SECONDS=2``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from worker.environment.connections import check_broker_url, check_redis_url, is_redis
from worker.settings.secret_files import SecretFiles

LARGEST = {"seconds": 3_155_760_000, "hours": 876_600, "days": 36_525}
"""A hundred years: the longest time that a setting may name, by the unit that its name ends with."""

LARGEST_NUMBER = 10**12
"""The largest count or size that a setting may name."""

KILI_ENDPOINT = "https://cloud.kili-technology.com/api/label/v2/graphql"


NONE_IF_EMPTY = BeforeValidator(lambda given: None if given == "" else given)
"""For what is not set by default: a compose file's ``${NAME:-}`` leaves it so."""


def _listed(given: Any) -> Any:
    """A list as JSON, or as words with commas between them."""
    if not isinstance(given, str):
        return given
    if given.lstrip().startswith("["):
        try:
            return json.loads(given)
        except ValueError as error:
            raise ValueError(f"no JSON list: {error}") from None
    return [word.strip() for word in given.split(",") if word.strip()]


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*")
    @classmethod
    def _in_reach(cls, given: Any, info: ValidationInfo) -> Any:
        """Refuse numbers that clocks, sockets and Redis cannot hold."""
        if isinstance(given, int | float):
            unit = str(info.field_name).rpartition("_")[2]
            largest = LARGEST.get(unit, LARGEST_NUMBER)
            if not given <= largest:
                raise ValueError(f"is too large; at most {largest}")
        return given


class KiliSettings(_Group):
    """How Kili is called."""

    calls_per_minute: int = Field(500, ge=1, description="Call budget of all workers together, per endpoint and key.")
    burst: int = Field(8, ge=1, le=50, description="Calls that may go at once before the budget's pace applies.")
    timeout_seconds: float = Field(60.0, gt=0, description="Limit of one call; more is granted to large bodies.")
    connect_timeout_seconds: float = Field(10.0, gt=0, description="Limit for opening a connection.")
    attempts: int = Field(4, ge=1, le=20, description="Attempts of one call before its wave is given back.")
    backoff_seconds: float = Field(0.5, gt=0, description="First upper bound of the random wait between attempts.")
    backoff_cap_seconds: float = Field(8.0, gt=0, description="Last upper bound of the random wait.")
    retry_after_cap_seconds: float = Field(60.0, gt=0, description="Longest wait a server may ask for.")
    compress_from_bytes: int = Field(100_000, ge=0, description="Bodies from this size on are sent gzipped.")
    max_response_bytes: int = Field(64_000_000, gt=0, description="Largest answer that is read.")
    read_lag_seconds: float = Field(3.0, ge=0, description="How far Kili's reads may lag behind its writes.")


class IntakeSettings(_Group):
    """The two doors."""

    queue: str = Field("predictions", min_length=1, description="Celery queue of the predictions.")
    inbox: str = Field(
        "predictions:inbox", min_length=1, description="Redis stream of the predictions, in the broker's Redis."
    )
    broker_key_prefix: str = Field("", description="The producers' Celery global_keyprefix, if they use one.")
    batch: int = Field(500, ge=1, le=10_000, description="Entries admitted at once.")
    max_message_bytes: int = Field(8_000_000, gt=0, description="Larger messages become dead letters.")
    max_depth: int = Field(48, ge=4, le=100, description="Deeper nested messages become dead letters.")
    max_waiting: int = Field(1_000_000, ge=1, description="Waiting predictions above which the doors stop taking.")
    max_inbox: int = Field(
        100_000, ge=1, description="Entries of the inbox above which HTTP requests are refused with 429."
    )
    repeat_seconds: float = Field(
        3600.0, gt=0, description="How long a message that comes again with the same id is known."
    )
    recover_seconds: float = Field(
        15.0, gt=0, description="Idle time after which a dead worker's entries are taken over."
    )
    visibility_seconds: int = Field(
        600, ge=1, description="The broker's visibility timeout; must outlast the longest call with its repeats."
    )
    path_roots: Annotated[list[Path], NoDecode, BeforeValidator(_listed)] = Field(
        default_factory=list, description="Folders below which asset.path is honoured, with commas or as a JSON list."
    )
    result_places: Annotated[list[str], NoDecode, BeforeValidator(_listed)] = Field(
        default_factory=list,
        description="Places that results are read from: https://host/folder/, or s3://bucket/folder/=https://host/folder/.",
    )
    result_grace_seconds: float = Field(
        900.0, ge=0, description="How long a result is waited for that a message points to."
    )


class ServeSettings(_Group):
    """The HTTP source."""

    host: str = Field("localhost", min_length=1, description="Address that the HTTP source listens on.")
    port: int = Field(8080, ge=0, le=65535, description="Port of the HTTP source; 0 takes a free one.")
    tokens: Annotated[list[SecretStr], NoDecode, BeforeValidator(_listed)] = Field(
        default_factory=list, description="Bearer tokens that producers may use, with commas or as a JSON list."
    )
    hmac_keys: Annotated[list[SecretStr], NoDecode, BeforeValidator(_listed)] = Field(
        default_factory=list,
        description="Keys that producers may sign with as Standard Webhooks describes, with commas or as a JSON list.",
    )
    secrets_file: Annotated[Path | None, NONE_IF_EMPTY] = Field(
        None, description="File with further lines `token …` and `hmac …`, read again when it changes."
    )
    is_open: bool = Field(False, description="Take messages from everybody, on an address that others can reach.")
    sns_topics: Annotated[list[str], NoDecode, BeforeValidator(_listed)] = Field(
        default_factory=list, description="ARNs of SNS topics whose signed notifications are taken."
    )
    max_body_bytes: int = Field(
        16_000_000, ge=1_000, description="Largest body of a request, compressed and uncompressed."
    )
    body_seconds: float = Field(20.0, gt=0, description="How long a request's head and body may each take to arrive.")
    concurrency: int = Field(64, ge=1, le=10_000, description="Requests that are handled at a time.")


class RabbitMqSettings(_Group):
    """The RabbitMQ source."""

    url: Annotated[SecretStr | None, NONE_IF_EMPTY] = Field(
        None, description="amqp:// URL of the RabbitMQ source; the broker's by default."
    )
    queue: str = Field("predictions.json", min_length=1, description="Queue of the RabbitMQ source.")


class KafkaSettings(_Group):
    """The Kafka source."""

    brokers: str = Field("localhost:9092", min_length=1, description="Kafka brokers, with commas.")
    topics: Annotated[list[str], NoDecode, BeforeValidator(_listed)] = Field(
        default_factory=list, description="Topics that are read, with commas or as a JSON list."
    )
    group: str = Field("prediction-worker", min_length=1, description="Consumer group.")
    security_protocol: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = Field(
        "plaintext", description="How brokers are spoken to."
    )
    sasl_mechanism: Annotated[str | None, NONE_IF_EMPTY] = Field(
        None, description="PLAIN or SCRAM-SHA-512, for example."
    )
    sasl_username: Annotated[str | None, NONE_IF_EMPTY] = Field(None, description="User.")
    sasl_password: Annotated[SecretStr | None, NONE_IF_EMPTY] = Field(None, description="Password.")
    ssl_ca_file: Annotated[Path | None, NONE_IF_EMPTY] = Field(None, description="Certificates that are trusted.")
    ssl_certificate_file: Annotated[Path | None, NONE_IF_EMPTY] = Field(None, description="The worker's certificate.")
    ssl_key_file: Annotated[Path | None, NONE_IF_EMPTY] = Field(None, description="The certificate's key.")
    options: Annotated[list[str], NoDecode, BeforeValidator(_listed)] = Field(
        default_factory=list, description="Further options of librdkafka: name=value, with commas or as a JSON list."
    )


class SqsSettings(_Group):
    """The SQS source."""

    queue_urls: Annotated[list[str], NoDecode, BeforeValidator(_listed)] = Field(
        default_factory=list, description="URLs of the queues that are read, with commas or as a JSON list."
    )
    region: Annotated[str | None, NONE_IF_EMPTY] = Field(
        None, description="AWS region; that of the environment by default."
    )
    endpoint_url: Annotated[str | None, NONE_IF_EMPTY] = Field(None, description="Another endpoint than Amazon's.")
    visibility_seconds: int = Field(
        60, ge=3, le=43_200, description="How long a received message is hidden from others; extended while it waits."
    )


class KserveSettings(_Group):
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


class SpoolSettings(_Group):
    """The waiting room in Redis."""

    prefix: str = Field("pw:", min_length=1, description="Prefix of every key of the worker.")
    lease_seconds: float = Field(30.0, ge=1, description="A dead worker's wave is taken over after this time.")
    remember_hours: float = Field(168.0, gt=0, description="How long the newest prediction of an asset is remembered.")
    dead_letter_days: float = Field(90.0, gt=0, description="Age at which dead letters are dropped.")
    max_dead_letters: int = Field(
        100_000, ge=1, description="Dead letters beyond this number are dropped, oldest first."
    )
    dead_letter_notice_hours: float = Field(
        24.0, ge=0, description="How long dead letters are announced to be dropped."
    )
    project_days: float = Field(180.0, gt=0, description="Silence after which a project without anything is forgotten.")


class DeliverySettings(_Group):
    """Waves and batches."""

    wave_items: int = Field(1000, ge=1, le=1000, description="Predictions leased at once.")
    wave_bytes: int = Field(64_000_000, ge=1_000_000, description="Bytes of predictions leased at once.")
    batch_items: int = Field(100, ge=1, le=100, description="Items of one mutation; 100 is Kili's documented limit.")
    batch_bytes: int = Field(2_000_000, ge=10_000, description="Bytes of one mutation.")
    one_document: bool = Field(
        False, description="Send the mutations of a batch in one GraphQL document: about half as many calls."
    )
    linger_seconds: float = Field(2.0, ge=0, description="Longest wait for a batch to fill.")
    parallel_batches: int = Field(8, ge=1, le=64, description="Batches of one wave under way at once.")
    concurrency: int = Field(
        4, ge=1, le=64, description="Waves (of different projects) under way at once in a process."
    )
    tick_seconds: float = Field(0.1, gt=0, le=5, description="How often due projects are looked for.")
    drain_seconds: float = Field(25.0, ge=0, description="Limit of a drain after SIGTERM.")
    missing_asset_grace_seconds: float = Field(
        10.0, ge=0, description="How long a prediction without content waits for its asset to appear in Kili."
    )
    fault_grace_seconds: float = Field(
        86_400.0,
        ge=0,
        description="How long predictions are tried whose writes fail in general words while Kili answers other calls.",
    )
    upload_grace_seconds: float = Field(
        900.0, ge=0, description="How long an upload is tried again that Kili's bucket does not take."
    )
    import_seconds: float = Field(
        3600.0, gt=0, description="How long Kili may take to import a video or another asset in the background."
    )
    aging_seconds: float = Field(
        60.0, gt=0, description="Wait after which routine predictions get a share of each wave."
    )
    interface_seconds: float = Field(600.0, gt=0, description="Age at which a project's interface is read anew.")
    probe_seconds: float = Field(2.0, gt=0, description="First pause of a project or endpoint that refuses.")
    probe_cap_seconds: float = Field(5.0, gt=0, description="Longest pause between probes of the endpoint.")


THRESHOLD = 0.8


class ReviewSettings(_Group):
    """What humans see first: a policy file, or without one the built-in policy or a threshold of confidence."""

    policy: Annotated[Path | None, NONE_IF_EMPTY] = Field(
        None, description="Review policy (TOML, YAML or JSON); see docs/review.md."
    )
    rule: Literal["ranked", "threshold"] | None = Field(
        None, description="Without a policy file: ranked, or threshold. Ranked, unless WORKER_REVIEW__THRESHOLD is set."
    )
    capacity: float = Field(
        0.1, ge=0, le=1, description="Ranked: share of the traffic that humans are asked to review."
    )
    audit_rate: float = Field(
        0.03, ge=0, le=1, description="Ranked: share of the traffic in the audit sample, which is part of the capacity."
    )
    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description=f"Threshold: predictions below this confidence get a priority; {THRESHOLD} if not set.",
    )

    @property
    def in_force(self) -> Literal["file", "ranked", "threshold"]:
        """Which of the three decides."""
        if self.policy is not None:
            return "file"
        return self.rule or ("ranked" if self.threshold is None else "threshold")

    @property
    def confidence_threshold(self) -> float:
        """The threshold of the threshold rule."""
        return THRESHOLD if self.threshold is None else self.threshold


class FeedbackSettings(_Group):
    """What is done with the humans' labels; see docs/feedback.md."""

    enabled: bool = Field(True, description="Collect the humans' labels, teach the review policy, look for drift.")
    every_seconds: float = Field(300.0, ge=0.1, description="Time between two looks at a project's labels.")
    budget_share: float = Field(
        0.1, gt=0, le=1, description="Share of the call budget for looking; many projects are looked at less often."
    )
    figures_seconds: float = Field(300.0, ge=0.1, description="Least time between two computations of the figures.")
    verify_seconds: float = Field(3600.0, ge=0.1, description="How often a day of labels is read anew on purpose.")
    horizon_days: int = Field(90, ge=1, description="How far back labels are kept.")
    report_days: float = Field(30.0, gt=0, description="How far back the figures look.")
    audit_hours: float = Field(72.0, gt=0, description="Age at which an audit without an answer is overdue.")
    drift_run_length: float = Field(
        140_000.0, ge=1000, description="Mean number of predictions between two false drift alarms."
    )
    drift_scope: Literal["detector", "version", "fleet"] = Field(
        "detector", description="What the run length is of: each detector, a model version, or all of them together."
    )
    label_hosts: list[str] = Field(
        ["kili-technology.com", "storage.googleapis.com", "blob.core.windows.net", "amazonaws.com"],
        description="Hosts, with their subdomains, that label files are read from, beside the endpoint's own.",
    )
    label_file_bytes: int = Field(16_000_000, gt=0, description="Larger label files are not read.")
    webhook_url: Annotated[SecretStr | None, NONE_IF_EMPTY] = Field(
        None, description="Where drift alarms are posted to."
    )
    webhook_shape: Literal["generic", "slack", "alertmanager"] = Field(
        "generic", description="What the webhook's receiver understands."
    )

    @field_validator("webhook_url")
    @classmethod
    def _a_url(cls, given: SecretStr | None) -> SecretStr | None:
        if given is not None and not _is_http(given.get_secret_value()):
            raise ValueError("no URL that alarms can be posted to; write https://host/path")
        return given


class LogSettings(_Group):
    """Logs on standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level that is written.")
    format: Literal["json", "text"] = Field("json", description="One JSON object a line, or text for a terminal.")


class _Environment(EnvSettingsSource):
    """The environment; one of the names that users already have counts as not set when it is empty.

    Compose files write ``KILI_API_KEY: ${KILI_API_KEY:-}``, which must not hide ``KILI_API_KEY_FILE``.
    """

    def __call__(self) -> dict[str, Any]:
        known = aliased_names()
        return {name: value for name, value in super().__call__().items() if value != "" or name not in known}


def _is_http(given: str) -> bool:
    try:
        parts = urlsplit(given)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


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
    sources: Annotated[list[str], NoDecode, BeforeValidator(_listed)] = Field(
        default_factory=lambda: ["celery", "stream"],
        description="Where messages come from, with commas or as a JSON list.",
    )
    kili: KiliSettings = Field(default_factory=KiliSettings)
    intake: IntakeSettings = Field(default_factory=IntakeSettings)
    serve: ServeSettings = Field(default_factory=ServeSettings)
    rabbitmq: RabbitMqSettings = Field(default_factory=RabbitMqSettings)
    kafka: KafkaSettings = Field(default_factory=KafkaSettings)
    sqs: SqsSettings = Field(default_factory=SqsSettings)
    kserve: KserveSettings = Field(default_factory=KserveSettings)
    spool: SpoolSettings = Field(default_factory=SpoolSettings)
    delivery: DeliverySettings = Field(default_factory=DeliverySettings)
    review: ReviewSettings = Field(default_factory=ReviewSettings)
    feedback: FeedbackSettings = Field(default_factory=FeedbackSettings)
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
        if not _is_http(given):
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
        """Whether the mover can take the Celery door's messages inside Redis."""
        return is_redis(self.broker)


def environment_names() -> set[str]:
    """Every environment variable that is read as a setting; a whole group may be set as JSON."""
    groups = {f"WORKER_{name}".upper() for name in Settings.model_fields if is_group(name)}
    return {row[0] for row in explain()} | {f"{name}_FILE" for name in aliased_names()} | groups


def is_group(name: str) -> bool:
    """Whether a setting of the tree holds others."""
    return isinstance(_default_of(Settings.model_fields[name]), _Group)


def _default_of(field: FieldInfo) -> Any:
    return field.get_default(call_default_factory=True, validated_data={})


def explain() -> list[tuple[str, str, str]]:
    """(environment name, default, meaning) of every setting, in the order of the tree."""
    rows: list[tuple[str, str, str]] = []
    for name, field in Settings.model_fields.items():
        default = _default_of(field)
        if isinstance(default, _Group):
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
