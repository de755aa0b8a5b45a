"""What a resolver may use while it answers one operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, cast

from graphql import GraphQLResolveInfo

from worker.sandbox.errors import FailImport, KiliError, no_access
from worker.sandbox.faults import FieldPlan
from worker.sandbox.process import SandboxConfig
from worker.sandbox.records import Asset, Project, User
from worker.sandbox.store import Buckets, Store, Tables

Item = TypeVar("Item")
Result = TypeVar("Result")


class Rejection(Protocol):
    """A fault that refuses single items of a mutation."""

    def check(self, asset_id: str | None, external_id: str | None, json_response: str | None) -> None:
        """Raise KiliError for an item that is to be refused."""


@dataclass(slots=True)
class Context:
    """One operation: who asks, what they see, and what the faults have in store for single items.

    `running` is the root field that runs, `fields` what the faults have in store for single root fields.
    """

    store: Store
    config: SandboxConfig
    buckets: Buckets
    user: User
    base_url: str
    tables: Tables
    rejections: Sequence[Rejection] = field(default_factory=list)
    failures: Sequence[FailImport] = field(default_factory=list)
    fields: Mapping[str, FieldPlan] = field(default_factory=dict)
    running: str = ""

    def project(self, project_id: str | None) -> Project:
        """Return a project; raises KiliError when it is not there."""
        project = self.tables.projects.get(project_id or "")
        if project is None:
            raise no_access("project")
        return project

    def asset(self, asset_id: str | None, project_id: str | None = None) -> Asset:
        """Return an asset, of a certain project if one is given; raises KiliError when it is not there."""
        asset = self.tables.assets.get(asset_id or "")
        if asset is None or (project_id is not None and asset.project_id != project_id):
            raise no_access("asset")
        return asset

    def check_rejections(self, asset_id: str | None, external_id: str | None, json_response: str | None = None) -> None:
        """Raise KiliError when a fault refuses this item."""
        here = self.fields.get(self.running, FieldPlan())
        for rejection in (*self.rejections, *here.rejections):
            rejection.check(asset_id, external_id, json_response)

    def apply_batch(
        self, items: Sequence[Item], check: Callable[[Item], None], apply: Callable[[Item], Result]
    ) -> list[Result]:
        """Apply a mutation to many items and raise the first refusal.

        With atomic batches a refusal leaves nothing applied, with partial ones all but the refused items.
        """
        refused: list[KiliError] = []
        good: list[Item] = []
        for item in items:
            try:
                check(item)
            except KiliError as error:
                refused.append(error)
            else:
                good.append(item)
        results = [] if refused and self.config.batches == "atomic" else [apply(item) for item in good]
        if refused:
            raise refused[0]
        return results


def context_of(info: GraphQLResolveInfo) -> Context:
    """Return the context of a running operation."""
    return cast(Context, info.context)
