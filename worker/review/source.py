"""Whose scores are comparable with one another."""

from __future__ import annotations

from dataclasses import dataclass

SEPARATOR = "\x1f"


@dataclass(frozen=True, slots=True)
class Source:
    """One model version's answers to one job of one project: what is comparable with itself."""

    project: str
    job: str
    model: str

    @property
    def key(self) -> str:
        """Its name in the state."""
        return SEPARATOR.join((self.project, self.job, self.model))

    @property
    def family(self) -> str:
        """The same for all versions of the model (``name:version``)."""
        return SEPARATOR.join((self.project, self.job, self.model.rpartition(":")[0] or self.model))
