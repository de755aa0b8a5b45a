"""Runs one operation against the state."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from graphql import ExecutionResult, GraphQLError, execute

from .actions import FailImport
from .context import Context, Refusal
from .core import Sandbox
from .documents import Prepared
from .faults import FieldPlan
from .fields import read_field
from .records import User

logger = logging.getLogger(__name__)


def run(
    sandbox: Sandbox,
    prepared: Prepared,
    variables: dict[str, Any],
    *,
    user: User,
    base_url: str,
    refusals: Sequence[Refusal] = (),
    failures: Sequence[FailImport] = (),
    fields: Mapping[str, FieldPlan] | None = None,
) -> dict[str, Any]:
    """Return what the answer carries: `data`, `errors` or both.

    The operation runs without a break, so that calls never overlap. `data` is missing when nothing was executed.
    """
    if prepared.errors or prepared.document is None:
        return {"errors": [error.formatted for error in prepared.errors]}
    sandbox.store.settle()
    context = Context(
        store=sandbox.store,
        config=sandbox.config,
        buckets=sandbox.buckets,
        user=user,
        base_url=base_url,
        tables=sandbox.store.tables if prepared.is_mutation else sandbox.store.reader(),
        refusals=refusals,
        failures=failures,
        fields=fields or {},
    )
    result = execute(
        sandbox.schema,
        prepared.document,
        context_value=context,
        variable_values=variables,
        operation_name=prepared.name,
        field_resolver=read_field,
    )
    if not isinstance(result, ExecutionResult):
        raise TypeError("a resolver must not be a coroutine: calls would overlap")
    return _content(result)


def _content(result: ExecutionResult) -> dict[str, Any]:
    if not result.errors:
        return {"data": result.data}
    errors = [_formatted(error) for error in result.errors]
    if all(error.path is None for error in result.errors):
        return {"errors": errors}
    return {"data": result.data, "errors": errors}


def _formatted(error: GraphQLError) -> dict[str, Any]:
    if error.original_error is not None and not isinstance(error.original_error, GraphQLError):
        logger.error("a resolver failed", exc_info=error.original_error)
    formatted: dict[str, Any] = {**error.formatted}
    formatted.setdefault("extensions", {"code": "INTERNAL_SERVER_ERROR"})
    return formatted
