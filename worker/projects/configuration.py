"""What is configured for each project: its outputs, so that producers need not say it, and the review policy.

Outputs are configured in a TOML file, which is read when it changes.
"""

from __future__ import annotations

import importlib.util
import logging
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, TypeAdapter, ValidationError

from worker.environment import clock
from worker.formats import Catalogue, MappingError, extended
from worker.review import (
    FixedPolicy,
    Policy,
    RankedPolicy,
    RedisState,
    ReviewPolicy,
    ThresholdPolicy,
    WatchedPolicy,
    built_in_policy,
    read_policy,
)
from worker.settings.groups import ReviewSettings
from worker.spool import Spool

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.1
OTHERS = "*"
FORMATS = "formats"
Share = Annotated[float, Field(ge=0, le=1)]


class ProjectConfig(BaseModel):
    """How the outputs of one project are read; what a message says goes first."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: str | None = Field(None, description="Format of payloads.")
    job: str | None = Field(None, description="The Kili job.")
    classes: list[str] | dict[str, str] | None = Field(None, description="Names of class indexes.")
    first_class: Literal[0, 1] | None = Field(None, description="Index of the first name of a list of classes.")
    image_size: tuple[int, int] | None = Field(None, description="Width and height in pixels.")
    score_kind: Literal["probability", "logit"] | None = Field(None, description="What scores are.")
    units: Literal["pixel", "relative", "percent", "per_mille"] | None = Field(
        None, description="What coordinates are."
    )
    box_order: Literal["xyxy", "xywh", "cxcywh", "yxyx"] | None = Field(
        None, description="What the four numbers of a box are."
    )
    exclusive: bool | None = Field(None, description="Single choice (true) or several (false).")
    field: str | None = Field(None, description="The tensor, column or key to read.")
    point_names: list[str] | None = Field(None, description="Names of a pose's points.")
    strings: Literal["label", "text"] | None = Field(None, description="What a bare string is.")
    frames: bool | None = Field(None, description="Rows are the frames of one video.")
    outside: Literal["clip", "drop", "refuse"] | None = Field(
        None, description="What becomes of an object that reaches a little over the image's edge."
    )
    outside_tolerance: Annotated[float, Field(ge=0, le=0.5)] | None = Field(
        None, description="How much is a little, as a share of the side."
    )
    on_bad_object: Literal["refuse", "drop"] | None = Field(
        None, description="One wrong object refuses the payload, or is left out and counted."
    )
    nothing_found: bool | None = Field(None, description="An empty payload says that nothing was found.")
    min_score: Share | dict[str, Share] | None = Field(
        None, description='Least score of an object or entity; or one per class, "*" for all others.'
    )
    unknown_classes: Literal["refuse", "ignore"] = Field(
        "refuse", description="A class without a category refuses the answer, or is left out."
    )
    ignored_classes: list[str] | None = Field(None, description="Classes of the model to leave out.")
    categories: dict[str, str] = Field(default_factory=dict, description="Model class to category of the project.")
    threshold: Share = Field(0.5, description="Least score of a class in multiple choice.")
    partial: bool = Field(False, description="Let required jobs stay open: the model answers only some of them.")
    models: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="The same keys for one model, by its name or its name:version."
    )
    _of_models: dict[str, ProjectConfig] = PrivateAttr(default_factory=dict)

    def model_post_init(self, _context: Any) -> None:
        """Merge each model's keys with the project's; raises ValueError for an unknown key or a wrong value."""
        shared = self.model_dump(exclude_unset=True, exclude={"models"})
        for name, keys in self.models.items():
            if "models" in keys:
                raise ValueError(f"models.{name}: models does not go within models")
            try:
                self._of_models[name] = ProjectConfig.model_validate({**shared, **keys})
            except ValidationError as error:
                first = error.errors(include_url=False)[0]
                raise ValueError(f"models.{name}.{'.'.join(map(str, first['loc']))}: {first['msg']}") from None

    def of_model(self, name: str, version: str) -> ProjectConfig:
        """The configuration of one model version: what its version says, else its name, else the project."""
        if not self.models:
            return self
        return self._of_models.get(f"{name}:{version}") or self._of_models.get(name) or self

    _mappings: Catalogue | None = PrivateAttr(None)

    @property
    def mappings(self) -> Catalogue | None:
        """The formats that are data, those of the projects file included; None for those that are shipped."""
        return self._mappings

    def with_mappings(self, mappings: Catalogue) -> ProjectConfig:
        """The same configuration with these formats."""
        changed = self.model_copy()
        changed._mappings = mappings
        changed._of_models = {name: config.with_mappings(mappings) for name, config in self._of_models.items()}
        return changed


_FILE = TypeAdapter(dict[str, ProjectConfig])
_DEFAULT = ProjectConfig()


class ProjectsFileError(ValueError):
    """The projects file cannot be read: names the project, the key and what is wrong."""


def read_projects_file(path: Path) -> dict[str, ProjectConfig]:
    """Read the file.

    Raises:
        ProjectsFileError: it is missing, no TOML, or holds an unknown key or a wrong value.
    """
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
        own_formats = tables.pop(FORMATS, None)
        configs = _FILE.validate_python(tables)
        return configs if own_formats is None else _with_formats(configs, extended(own_formats))
    except MappingError as error:
        raise ProjectsFileError(f"{path}: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ProjectsFileError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProjectsFileError(f"{path}: {error}") from None


def _with_formats(configs: dict[str, ProjectConfig], mappings: Catalogue) -> dict[str, ProjectConfig]:
    """Every project's configuration, and that of all others, with the file's own formats."""
    return {name: config.with_mappings(mappings) for name, config in ({OTHERS: _DEFAULT} | configs).items()}


class Projects:
    """Project configurations; a file that was changed and is wrong keeps the last good one, and says so once.

    Args:
        path: of the TOML file, or None for defaults only.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._configs = read_projects_file(path) if path else {}
        self._stamp = self._stat()
        self._looked = clock.monotonic()
        self._guard = threading.Lock()

    def of(self, project: str) -> ProjectConfig:
        """The project's configuration, or that of all others."""
        if self._path is not None and clock.monotonic() - self._looked > LOOK_SECONDS:
            self._look()
        return self._configs.get(project) or self._configs.get(OTHERS) or _DEFAULT

    def _look(self) -> None:
        with self._guard:
            self._looked = clock.monotonic()
            stamp = self._stat()
            if stamp == self._stamp or self._path is None:
                return
            self._stamp = stamp
            try:
                self._configs = read_projects_file(self._path)
            except ProjectsFileError as error:
                logger.error("projects file not taken over: %s", error, extra={"action": "projects_file_wrong"})  # noqa: TRY400
            else:
                logger.info("projects file read again", extra={"action": "projects_file_read"})

    def _stat(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat() if self._path else None
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_size) if found else None


def review_policy(review: ReviewSettings, spool: Spool | None = None) -> ReviewPolicy:
    """The policy in force; what it learns is kept in the spool's Redis, without one nowhere.

    Raises:
        PolicyError: the policy file is missing or wrong.
    """
    if review.in_force == "threshold":
        return ThresholdPolicy(review.confidence_threshold)
    source = WatchedPolicy(review.policy) if review.policy else FixedPolicy(_built_in(review))
    return RankedPolicy(source, RedisState(spool.redis, prefix=spool.prefix) if spool is not None else None)


def ranked_rules(review: ReviewSettings) -> Policy | None:
    """The rules of the policy in force, None for the threshold.

    Raises:
        PolicyError: the policy file is missing or wrong.
    """
    if review.in_force == "threshold":
        return None
    return read_policy(review.policy) if review.policy else _built_in(review)


def review_text(review: ReviewSettings) -> str:
    """What is in force, in a line."""
    if review.policy is not None:
        return f"the policy of {review.policy}"
    if review.in_force == "threshold":
        return f"a threshold: predictions with a confidence below {review.confidence_threshold:g} get a priority"
    capacity, audits = (f"{100 * share:g} %" for share in (review.capacity, review.audit_rate))
    return f"the built-in policy: {capacity} of the traffic gets a priority, {audits} as an audit sample among it"


def review_gaps(review: ReviewSettings) -> Iterator[tuple[str, str]]:
    """What the policy in force cannot give or what has no effect, with the fix.

    Raises:
        PolicyError: the policy file is missing or wrong.
    """
    rules = ranked_rules(review)
    if rules is None:
        fix = "set WORKER_REVIEW__RULE=ranked, or write a policy file"
        yield "it draws no audit sample, so the agreement of live traffic stays unknown", fix
    elif not any(rule.audit.rate for rule in rules.rules):
        fix = "set WORKER_REVIEW__AUDIT_RATE" if review.policy is None else "give a rule an audit.rate"
        yield "it draws no audit sample, so the agreement of live traffic stays unknown", fix
    if review.in_force == "ranked" and review.audit_rate > review.capacity:
        problem = "the audit sample is larger than the capacity, so more is reviewed and nothing for its score"
        yield problem, "raise WORKER_REVIEW__CAPACITY or lower WORKER_REVIEW__AUDIT_RATE"
    if review.threshold is not None and review.in_force != "threshold":
        yield (
            "WORKER_REVIEW__THRESHOLD has no effect",
            "unset it, or set WORKER_REVIEW__RULE=threshold without a policy",
        )


def scorer_missing(review: ReviewSettings) -> bool:
    """Whether the policy in force would use numpy, which is not installed."""
    return review.in_force != "threshold" and importlib.util.find_spec("numpy") is None


def _built_in(review: ReviewSettings) -> Policy:
    return built_in_policy(review.capacity, review.audit_rate)
