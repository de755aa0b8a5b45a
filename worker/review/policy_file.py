"""The policy file: what is reviewed, how much of it, and what becomes of the rest; read again when it changes.

TOML, JSON, or YAML where PyYAML is installed. The first rule whose patterns match a prediction's project, job and model
applies to it. A file that holds Amazon A2I's ``Conditions`` is a policy with these as its must-review conditions.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import tomllib
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from worker.environment import clock
from worker.review.conditions import AllOf, AnyOf, Condition, Share, translate_a2i
from worker.review.vectors import ScorerChoice

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class PolicyError(ValueError):
    """A policy that cannot be used: where in the file, what is wrong."""


def _seconds(given: Any) -> Any:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", given) if isinstance(given, str) else None
    return float(found[1]) * _UNITS[found[2]] if found else given


def _translated(given: Any) -> Any:
    return (
        translate_a2i(given) if isinstance(given, str) or (isinstance(given, Mapping) and "any" not in given) else given
    )


Duration = Annotated[float, BeforeValidator(_seconds), Field(gt=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RuleMatch(_Part):
    """Shell patterns (``*``, ``?``, ``[…]``), case matters; a job is empty when a prediction names none."""

    project: str = "*"
    job: str = "*"
    model: str = "*"

    def holds(self, project: str, job: str, model: str) -> bool:
        """Whether all three match."""
        return fnmatchcase(project, self.project) and fnmatchcase(job, self.job) and fnmatchcase(model, self.model)


class Capacity(_Part):
    """How many reviews there may be, must-reviews and audits among them: a share of the traffic, or a number a day."""

    share: Share | None = Field(None, description="Share of the traffic, 0 to 1; 0.1 when per_day is absent too.")
    per_day: float | None = Field(None, ge=0, description="Reviews in 24 hours.")
    follow_reviewers: bool = Field(False, description="Once known, what reviewers finish a day replaces per_day.")
    window: Duration = Field(3600.0, description="Time over which the number a day is spread; such as 30m or 1h.")

    @model_validator(mode="after")
    def _one_of_two(self) -> Capacity:
        if self.share is not None and (self.per_day is not None or self.follow_reviewers):
            raise ValueError("share excludes per_day and follow_reviewers")
        if self.follow_reviewers and self.per_day is None:
            raise ValueError("follow_reviewers needs per_day, to begin with")
        return self

    @property
    def traffic_share(self) -> float | None:
        """The share, or None when the capacity is a number a day."""
        return None if self.per_day is not None else 0.1 if self.share is None else self.share


class MustReview(_Part):
    """Conditions that put a prediction before all others, up to a share of the traffic."""

    any: tuple[Condition, ...] = Field((), description="One of them is enough.")
    all: tuple[Condition, ...] = Field((), description="All of them together are enough, too.")
    a2i: Annotated[AnyOf | None, BeforeValidator(_translated)] = Field(
        None, description="Amazon A2I's HumanLoopActivationConditions, as JSON text or parsed."
    )
    max_share: Share = Field(0.02, description="Most of the traffic that may be must-review; the rest is ranked.")

    @cached_property
    def conditions(self) -> tuple[Condition, ...]:
        """Everything that starts a review on its own."""
        together = (AllOf(all=self.all),) if self.all else ()
        return (*self.any, *together, *(self.a2i.any if self.a2i else ()))


class Audit(_Part):
    """The sample that is reviewed whatever the score."""

    rate: Share = 0.03
    uniform: Share = Field(0.5, description="Part of the rate that ignores the score; 1 makes a flat sample.")
    floor: Share = Field(0.005, description="Least inclusion probability.")

    @model_validator(mode="after")
    def _floor_below_rate(self) -> Audit:
        if self.rate and self.floor > self.rate:
            raise ValueError("floor must not be above rate")
        return self


class Rest(_Part):
    """What becomes of predictions that nobody is asked to review."""

    action: Literal["upload", "upload_share", "count_only"] = "upload"
    share: Share | None = None

    @model_validator(mode="after")
    def _share_given(self) -> Rest:
        if (self.action == "upload_share") != (self.share is not None):
            raise ValueError("share goes with action = upload_share, and only with it")
        return self

    @property
    def uploaded(self) -> float:
        """Share of the rest that is uploaded."""
        return {"upload": 1.0, "count_only": 0.0}.get(self.action, self.share or 0.0)


class ReviewRule(_Part):
    """One rule; predictions of one project under one rule share a capacity."""

    name: str = Field("", max_length=100, pattern="^[^/\x1f]*$")
    match: RuleMatch = RuleMatch()
    capacity: Capacity = Capacity()
    must_review: MustReview = MustReview()
    audit: Audit = Audit()
    rest: Rest = Rest()
    lanes: int = Field(10, ge=1, le=10)


class Policy(_Part):
    """A whole policy. ``version`` is stored with every decision; ``salt`` decides the draws: keep it."""

    version: int | str = 1
    salt: str = "prediction-worker"
    scorer: ScorerChoice = Field("automatic", description="automatic: the stronger scorer where numpy is installed.")
    rules: tuple[ReviewRule, ...] = (ReviewRule(),)

    @model_validator(mode="after")
    def _names(self) -> Policy:
        named = tuple(
            rule if rule.name else rule.model_copy(update={"name": f"rule {i}"}) for i, rule in enumerate(self.rules, 1)
        )
        if len({rule.name for rule in named}) < len(named):
            raise ValueError("two rules have the same name")
        object.__setattr__(self, "rules", named)
        return self

    @property
    def label(self) -> str:
        """What decisions say about their policy."""
        return f"ranked/{self.version}"

    def rule_for(self, project: str, job: str, model: str) -> ReviewRule:
        """The first rule that matches; without any, one with all defaults."""
        return next((rule for rule in self.rules if rule.match.holds(project, job, model)), _DEFAULT)


_DEFAULT = ReviewRule(name="default")


def built_in_policy(capacity: float, audit_rate: float) -> Policy:
    """The policy of an installation that has no policy file.

    Args:
        capacity: share of the traffic that humans are asked to review, audits among them, 0 to 1.
        audit_rate: share of the traffic in the audit sample, 0 to 1.
    """
    audit = Audit(rate=audit_rate, floor=min(Audit().floor, audit_rate))
    return Policy(
        version="built-in", rules=(ReviewRule(name="default", capacity=Capacity(share=capacity), audit=audit),)
    )


def read_policy(path: Path) -> Policy:
    """Read a policy file.

    Raises:
        PolicyError: the file cannot be read, or is no policy.
    """
    try:
        return parse_policy(read_document(path))
    except (OSError, ValueError) as error:
        raise error if isinstance(error, PolicyError) else PolicyError(f"{path}: {error}") from None


def parse_policy(given: Any) -> Policy:
    """Validate a parsed policy.

    Raises:
        PolicyError: with one line per mistake.
    """
    if isinstance(given, Mapping) and "Conditions" in given:
        given = {"version": "a2i", "rules": [{"must_review": {"a2i": dict(given), "max_share": 1}}]}
    try:
        return Policy.model_validate(given)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, one['loc'])) or 'policy'}: {_problem(one)}" for one in error.errors()]
        raise PolicyError("\n".join(lines)) from None


def _problem(error: ErrorDetails) -> str:
    return "unknown key; remove it" if error["type"] == "extra_forbidden" else error["msg"]


def read_document(path: Path) -> Any:
    """Parse a TOML, JSON or YAML file, whatever it holds.

    Raises:
        OSError: it cannot be read.
        ValueError: it is none of these.
    """
    forms: dict[str, Callable[[str], Any]] = {
        ".toml": tomllib.loads,
        ".json": json.loads,
        ".yaml": _parse_yaml,
        ".yml": _parse_yaml,
    }
    parse = forms.get(path.suffix.lower())
    if parse is None:
        raise PolicyError(f"{path}: name it .toml, .json or .yaml")
    try:
        return parse(path.read_text("utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _parse_yaml(text: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise PolicyError(
            "YAML needs PyYAML: pip install 'kili-prediction-worker[yaml]', or write the policy as TOML"
        ) from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise PolicyError(f"not YAML: {error}") from None


logger = logging.getLogger(__name__)


class WatchedPolicy:
    """The policy of a file.

    Args:
        path: of the file.
        every: seconds between looks at it.
        clock: seconds, for that.

    Raises:
        PolicyError: the file is not usable to begin with.
    """

    def __init__(self, path: Path, *, every: float = 2.0, clock: Callable[[], float] = clock.monotonic) -> None:
        self.path = path
        self.problem = ""
        self._every = every
        self._clock = clock
        self._lock = threading.Lock()
        self._stamp = _stamp(path)
        self._policy = read_policy(path)
        self._looked_at = clock()

    def current(self) -> Policy:
        """The newest policy that could be read; ``problem`` tells what is wrong with a newer file, if anything."""
        with self._lock:
            now = self._clock()
            if now - self._looked_at >= self._every:
                self._looked_at = now
                self._look()
            return self._policy

    def _look(self) -> None:
        stamp = _stamp(self.path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._policy = read_policy(self.path)
        except PolicyError as error:
            self.problem = str(error)
            about = {"action": "policy_refused", "path": str(self.path), "version": self._policy.version}
            logger.error("policy file not taken, the earlier one stays: %s", error, extra=about)  # noqa: TRY400
            return
        self.problem = ""
        about = {"action": "policy_changed", "path": str(self.path), "version": self._policy.version}
        logger.info("policy changed", extra=about)


def _stamp(path: Path) -> tuple[int, int] | None:
    """Changes with the file; None while it is away, which a deployment may do for a moment."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
