"""Where things are in Kili's web interface."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Links:
    """Addresses of one project; ``base`` is that of the web interface, without a path."""

    base: str
    project: str

    @classmethod
    def of(cls, endpoint: str, project: str) -> Links:
        """For a project of a GraphQL endpoint."""
        return cls(endpoint.partition("/api/")[0], project)

    @property
    def home(self) -> str:
        """The project."""
        return f"{self.base}/label/projects/{self.project}/"

    def asset(self, asset_id: str) -> str:
        """One asset."""
        return f"{self.base}/label/projects/label/{asset_id}"
