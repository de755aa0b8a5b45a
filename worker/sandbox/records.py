"""What the sandbox remembers: frozen rows, replaced as a whole when they change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.sandbox.responses.reading import Interface, read_interface

#: Where a project of maps says in which coordinates it is labeled, and the code of the image's own.
GEOSPATIAL_SETTINGS = "geospatialSettings"
PIXELS = "PIXEL"

#: Label types by which a person judges an asset.
HUMAN_TYPES = frozenset({"DEFAULT", "REVIEW"})


@dataclass(frozen=True, slots=True)
class User:
    """A person or a machine with an account."""

    id: str
    email: str
    firstname: str
    lastname: str
    activated: bool = True

    @property
    def name(self) -> str:
        """First and last name."""
        return f"{self.firstname} {self.lastname}".strip()


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key of a user; `expiry_date` is ISO 8601 with milliseconds."""

    id: str
    key: str
    user_id: str
    created_at: str
    expiry_date: str
    name: str = "sandbox"
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """A stage of a project's workflow; `type` is DEFAULT (labeling) or REVIEW."""

    id: str
    name: str
    type: str
    order: int


@dataclass(frozen=True, slots=True)
class Role:
    """A user's place in a project."""

    id: str
    user_id: str
    role: str


@dataclass(frozen=True, slots=True)
class Project:
    """A project; `json_interface` is a JSON string, `settings` holds what updatePropertiesInProject wrote."""

    id: str
    title: str
    description: str
    input_type: str
    json_interface: str
    author_id: str
    created_at: str
    updated_at: str
    steps: tuple[Step, ...]
    roles: tuple[Role, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def interface(self) -> Interface:
        """The jobs of the project; raises InterfaceError when they cannot be read."""
        return read_interface(self.json_interface, self.input_type, self.labels_pixels)

    @property
    def labels_pixels(self) -> bool:
        """Whether a map is labeled in shares of the image instead of degrees."""
        return (self.settings.get(GEOSPATIAL_SETTINGS) or {}).get("labelingCRSCode") == PIXELS

    @property
    def labeling_step(self) -> Step:
        """The step in which labelers work."""
        return self.steps[0]

    @property
    def review_step(self) -> Step:
        """The step in which reviewers work."""
        return self.steps[-1]


@dataclass(frozen=True, slots=True)
class Asset:
    """An asset; `json_metadata` is a JSON string, larger `priority` is labeled earlier."""

    id: str
    project_id: str
    external_id: str
    content: str
    created_at: str
    updated_at: str
    step_id: str
    sequence: int
    json_content: str = ""
    json_metadata: str = "{}"
    priority: int = 0
    step_status: str = "TO_DO"
    skipped: bool = False
    is_honeypot: bool = False
    is_used_for_consensus: bool | None = None
    assignee_ids: tuple[str, ...] = ()
    inference_mark: float | None = None
    honeypot_mark: float | None = None
    consensus_mark: float | None = None
    resolution: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Label:
    """A label; `json_response` is a JSON string, `sequence` orders labels by creation."""

    id: str
    asset_id: str
    project_id: str
    label_type: str
    json_response: str
    author_id: str
    created_at: str
    sequence: int
    model_name: str | None = None
    seconds_to_label: float | None = None
    client_version: int | None = None
    referenced_label_id: str | None = None
    is_honeypot: bool = False
    skipped: bool = False
    inference_mark: float | None = None
    honeypot_mark: float | None = None
    consensus_mark: float | None = None


@dataclass(frozen=True, slots=True)
class Notification:
    """News of an import in the background; `status` is PENDING, SUCCESS or FAILURE."""

    id: str
    user_id: str
    created_at: str
    status: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Issue:
    """An issue or question about an asset; `type` is ISSUE or QUESTION, `status` OPEN, SOLVED or CANCELLED."""

    id: str
    project_id: str
    asset_id: str
    type: str
    author_id: str
    created_at: str
    updated_at: str
    issue_number: int
    status: str = "OPEN"
    label_id: str | None = None
    object_mid: str | None = None
    text: str | None = None
    has_been_seen: bool = False


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook, and the projects on which it is active."""

    id: str
    name: str
    url: str
    created_at: str
    updated_at: str
    header: str | None = None
    events: tuple[str, ...] = ()
    project_ids: tuple[str, ...] = ()


Record = User | ApiKey | Project | Asset | Label | Notification | Issue | Webhook
