"""Settings in groups: of Kili, intake, spool, delivery, review, feedback, logs and probes; the addresses they write."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import NoDecode

FORM = "write HOST:PORT, HOST:FIRST-LAST for several workers of one machine, or nothing to turn it off"
_ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:.%]+\]|[^\[\]:\s]+):(?P<first>\d{1,5})(?:-(?P<last>\d{1,5}))?")


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: a host and a range of ports, of which the first free one is taken; port 0 is any free one."""

    host: str
    ports: range

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``HOST:PORT`` or ``HOST:FIRST-LAST``.

        Raises:
            ValueError: it is neither.
        """
        found = _ADDRESS.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"no address; {FORM}")
        first = int(found["first"])
        last = int(found["last"] or first)
        if not first <= last <= 65_535 or (first == 0 and last != 0):
            raise ValueError(f"no ports; {FORM}")
        return cls(found["host"].strip("[]"), range(first, last + 1))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        last = f"-{self.ports[-1]}" if len(self.ports) > 1 else ""
        return f"{host}:{self.ports[0]}{last}"


LARGEST = {"seconds": 3_155_760_000, "hours": 876_600, "days": 36_525}
"""A hundred years: the longest time that a setting may name, by the unit that its name ends with."""

LARGEST_NUMBER = 10**12
"""The largest count or size that a setting may name."""

KILI_ENDPOINT = "https://cloud.kili-technology.com/api/label/v2/graphql"


NONE_IF_EMPTY = BeforeValidator(lambda given: None if given == "" else given)
"""For what is not set by default: a compose file's ``${NAME:-}`` leaves it so."""


def listed(given: Any) -> Any:
    """A list as JSON, or as words with commas between them."""
    if not isinstance(given, str):
        return given
    if given.lstrip().startswith("["):
        try:
            return json.loads(given)
        except ValueError as error:
            raise ValueError(f"no JSON list: {error}") from None
    return [word.strip() for word in given.split(",") if word.strip()]


class Group(BaseModel):
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


def is_http(given: str) -> bool:
    try:
        parts = urlsplit(given)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


class KiliSettings(Group):
    """How Kili is called."""

    calls_per_minute: int = Field(500, ge=1, description="Call budget of all workers together, per endpoint and key.")
    burst: int = Field(
        8, ge=1, le=50, description="Calls that may be made at once before they are spread over the minute."
    )
    timeout_seconds: float = Field(60.0, gt=0, description="Limit of one call; large bodies get more.")
    connect_timeout_seconds: float = Field(10.0, gt=0, description="Limit for opening a connection.")
    attempts: int = Field(4, ge=1, le=20, description="Attempts of one call before its wave ends.")
    backoff_seconds: float = Field(0.5, gt=0, description="First upper bound of the random wait between attempts.")
    backoff_cap_seconds: float = Field(8.0, gt=0, description="Last upper bound of the random wait.")
    retry_after_cap_seconds: float = Field(60.0, gt=0, description="Longest wait that `Retry-After` may demand.")
    compress_from_bytes: int = Field(100_000, ge=0, description="Bodies from this size on are sent gzipped.")
    max_response_bytes: int = Field(64_000_000, gt=0, description="Largest response that is read.")
    read_lag_seconds: float = Field(3.0, ge=0, description="How far Kili's reads may lag behind its writes.")


class IntakeSettings(Group):
    """How messages are taken in and admitted."""

    queue: str = Field("predictions", min_length=1, description="Celery queue of the predictions.")
    inbox: str = Field(
        "predictions:inbox", min_length=1, description="Redis stream of the predictions, in the broker's Redis."
    )
    broker_key_prefix: str = Field("", description="The producers' Celery global_keyprefix, if they use one.")
    batch: int = Field(500, ge=1, le=10_000, description="Entries admitted at once.")
    max_message_bytes: int = Field(8_000_000, gt=0, description="Larger messages become dead letters.")
    max_depth: int = Field(48, ge=4, le=100, description="Deeper nested messages become dead letters.")
    max_waiting: int = Field(1_000_000, ge=1, description="Waiting predictions above which intake is paused.")
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
    path_roots: Annotated[list[Path], NoDecode, BeforeValidator(listed)] = Field(
        default_factory=list, description="Folders below which asset.path is honoured, with commas or as a JSON list."
    )
    result_places: Annotated[list[str], NoDecode, BeforeValidator(listed)] = Field(
        default_factory=list,
        description="Places that results are read from: https://host/folder/, or s3://bucket/folder/=https://host/folder/.",
    )
    result_grace_seconds: float = Field(
        900.0, ge=0, description="How long a result is waited for that a message points to."
    )


class SpoolSettings(Group):
    """How predictions are kept in Redis until they are delivered."""

    prefix: str = Field("pw:", min_length=1, description="Prefix of every key of the worker.")
    lease_seconds: float = Field(30.0, ge=1, description="A dead worker's wave is taken over after this time.")
    late_write_seconds: float = Field(
        300.0,
        ge=0,
        description="How long calls of a worker without a lock may come late; newer predictions are sent again then.",
    )
    remember_hours: float = Field(168.0, gt=0, description="How long the newest prediction of an asset is remembered.")
    dead_letter_days: float = Field(90.0, gt=0, description="Age at which dead letters are dropped.")
    max_dead_letters: int = Field(
        100_000, ge=1, description="Dead letters beyond this number are dropped, oldest first."
    )
    dead_letter_notice_hours: float = Field(
        24.0, ge=0, description="How long before dead letters are dropped this is announced."
    )
    project_days: float = Field(
        180.0, gt=0, description="Time without a prediction after which a project of which nothing is left is removed."
    )


class DeliverySettings(Group):
    """How predictions are delivered to Kili, in waves and batches."""

    wave_items: int = Field(1000, ge=1, le=1000, description="Predictions leased at once.")
    wave_bytes: int = Field(64_000_000, ge=1_000_000, description="Bytes of predictions leased at once.")
    batch_items: int = Field(100, ge=1, le=100, description="Items of one mutation; 100 is Kili's documented limit.")
    batch_bytes: int = Field(2_000_000, ge=10_000, description="Bytes of one mutation.")
    one_document: bool = Field(
        False, description="Send the mutations of a batch in one GraphQL document: about half as many calls."
    )
    linger_seconds: float = Field(2.0, ge=0, description="Longest wait for a batch to fill.")
    parallel_batches: int = Field(8, ge=1, le=64, description="Batches of one wave in flight at once.")
    concurrency: int = Field(
        4, ge=1, le=64, description="Waves (of different projects) in flight at once in a process."
    )
    tick_seconds: float = Field(0.1, gt=0, le=5, description="How often due projects are looked for.")
    drain_seconds: float = Field(25.0, ge=0, description="Limit of a drain after SIGTERM.")
    missing_asset_grace_seconds: float = Field(
        10.0, ge=0, description="How long a prediction without content waits for its asset to appear in Kili."
    )
    fault_grace_seconds: float = Field(
        86_400.0,
        ge=0,
        description="How long a prediction is tried whose writes fail without a reason while Kili answers other calls.",
    )
    upload_grace_seconds: float = Field(
        900.0, ge=0, description="How long an upload that Kili's bucket rejects is tried again."
    )
    import_seconds: float = Field(
        3600.0, gt=0, description="How long Kili may take to import a video or another asset in the background."
    )
    aging_seconds: float = Field(
        60.0, gt=0, description="Waiting time after which routine predictions get a share of each wave."
    )
    interface_seconds: float = Field(600.0, gt=0, description="Age at which a project's interface is read anew.")
    probe_seconds: float = Field(2.0, gt=0, description="First pause of a project or endpoint that rejects calls.")
    probe_cap_seconds: float = Field(5.0, gt=0, description="Longest pause between probes of the endpoint.")


THRESHOLD = 0.8


class ReviewSettings(Group):
    """What reviewers see first: a policy file, or without one the built-in policy or a confidence threshold."""

    policy: Annotated[Path | None, NONE_IF_EMPTY] = Field(
        None, description="Review policy (TOML, YAML or JSON); see docs/review.md."
    )
    rule: Literal["ranked", "threshold"] | None = Field(
        None, description="Rule without a policy file; ranked, unless WORKER_REVIEW__THRESHOLD is set."
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


class FeedbackSettings(Group):
    """How the labels of humans are collected and used; see docs/feedback.md."""

    enabled: bool = Field(True, description="Collect human labels, train the review policy on them, look for drift.")
    every_seconds: float = Field(300.0, ge=0.1, description="Time between two collection cycles of a project.")
    budget_share: float = Field(
        0.1,
        gt=0,
        le=1,
        description="Share of the call budget for collecting; with many projects each is collected less often.",
    )
    figures_seconds: float = Field(300.0, ge=0.1, description="Least time between two computations of the report data.")
    verify_seconds: float = Field(
        3600.0, ge=0.1, description="How often a day of labels that were collected is read again and compared."
    )
    horizon_days: int = Field(90, ge=1, description="How far back labels are kept.")
    report_days: float = Field(30.0, gt=0, description="How far back the report looks.")
    audit_hours: float = Field(72.0, gt=0, description="Age at which an audit without an answer is overdue.")
    settling_seconds: float = Field(
        600.0, ge=0, description="Age in Kili from which predictions are looked at for drift."
    )
    drift_run_length: float = Field(
        140_000.0, ge=1000, description="Mean number of predictions between two false drift alarms."
    )
    drift_scope: Literal["detector", "version", "fleet"] = Field(
        "detector",
        description="What the run length holds for: each detector, each model version, or all of them together.",
    )
    label_hosts: list[str] = Field(
        ["kili-technology.com", "storage.googleapis.com", "blob.core.windows.net", "amazonaws.com"],
        description="Hosts, with their subdomains, that label files are read from, beside the endpoint's own.",
    )
    label_file_bytes: int = Field(16_000_000, gt=0, description="Larger label files are not read.")
    webhook_url: Annotated[SecretStr | None, NONE_IF_EMPTY] = Field(
        None, description="URL that drift alarms are sent to."
    )
    webhook_shape: Literal["generic", "slack", "alertmanager"] = Field(
        "generic", description="Format of a notification."
    )

    @field_validator("webhook_url")
    @classmethod
    def _a_url(cls, given: SecretStr | None) -> SecretStr | None:
        if given is not None and not is_http(given.get_secret_value()):
            raise ValueError("no URL that alarms can be posted to; write https://host/path")
        return given


class LogSettings(Group):
    """Logs on standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level that is written.")
    format: Literal["json", "text"] = Field("json", description="One JSON object a line, or text for a terminal.")


class TracesSettings(Group):
    """OpenTelemetry; all else is set by its own variables, see docs/how-to/traces.md."""

    enabled: bool = Field(
        False, description="Trace predictions from producer to verdict; needs the extra otel, and OTEL_… variables."
    )


class HttpSettings(Group):
    """Metrics and probes over HTTP."""

    listen: str = Field(
        "127.0.0.1:9464",
        description="HOST:PORT of /metrics, /livez, /readyz, or HOST:FIRST-LAST for several workers; empty is off.",
    )
    stalled_seconds: float = Field(
        600.0, ge=1, description="A worker that cannot lease, send or settle for so long is not live."
    )
    max_projects: int = Field(
        100, ge=1, le=10_000, description="Projects with a label of their own in metrics; the others are summed."
    )

    @field_validator("listen")
    @classmethod
    def _an_address(cls, given: str) -> str:
        if given.strip():
            Address.parse(given)
        return given.strip()
