"""What an operator says about each project's outputs, so that producers need not: a TOML file, read when it changes.

["clx0000000000000000000000"]        # a project id, or "*" for all others
format = "open_inference"            # as in a message's output
job = "CLASSIFICATION_JOB"
classes = ["RED", "BLACK"]
score_kind = "logit"
categories = { crimson = "RED" }     # model class to category
"""

from __future__ import annotations

import logging
import threading
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from worker import clock

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.1
OTHERS = "*"


class ProjectConfig(BaseModel):
    """How the outputs of one project are read; what a message says goes first."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: str | None = Field(None, description="Format of payloads.")
    job: str | None = Field(None, description="The Kili job.")
    classes: list[str] | dict[str, str] | None = Field(None, description="Names of class indexes.")
    image_size: tuple[int, int] | None = Field(None, description="Width and height in pixels.")
    score_kind: Literal["probability", "logit"] | None = Field(None, description="What scores are.")
    units: Literal["pixel", "relative"] | None = Field(None, description="What coordinates are.")
    exclusive: bool | None = Field(None, description="Single choice (true) or several (false).")
    field: str | None = Field(None, description="The tensor, column or key to read.")
    point_names: list[str] | None = Field(None, description="Names of a pose's points.")
    strings: Literal["label", "text"] = Field("label", description="What a bare string is.")
    frames: bool = Field(False, description="Rows are the frames of one video.")
    categories: dict[str, str] = Field(default_factory=dict, description="Model class to category of the project.")
    threshold: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5, description="Least score of a class in multiple choice."
    )
    partial: bool = Field(False, description="Let required jobs stay open: the model answers only some of them.")


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
        return _FILE.validate_python(tomllib.loads(path.read_text("utf-8")))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ProjectsFileError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ProjectsFileError(f"{path}: {error}") from None


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
