"""Runs one operation against the state."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from graphql import (
    ExecutionContext,
    ExecutionResult,
    FieldNode,
    GraphQLError,
    GraphQLNonNull,
    GraphQLObjectType,
    Undefined,
    execute,
    is_leaf_type,
)
from graphql.pyutils import Path

from .actions import FailImport
from .context import Context, Refusal
from .core import Sandbox
from .documents import Prepared
from .faults import FieldPlan
from .fields import read_field, read_named
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
        execution_context_class=_Execution,
    )
    if not isinstance(result, ExecutionResult):
        raise TypeError("a resolver must not be a coroutine: calls would overlap")
    return _content(result)


class _Execution(ExecutionContext):
    """As graphql-core has it; but what is read from a row as it is needs no path and no information on its field.

    Most of an answer is made of such values. All others, and all errors, take graphql-core's way.
    """

    def execute_fields(
        self, parent_type: GraphQLObjectType, source_value: Any, path: Path | None, fields: dict[str, list[FieldNode]]
    ) -> dict[str, Any]:
        """Return the values of the fields by their names in the answer."""
        results = {}
        for name, nodes in fields.items():
            result = _plain(parent_type, source_value, nodes[0].name.value)
            if result is None:
                result = self.execute_field(parent_type, source_value, nodes, Path(path, name, parent_type.name))
            if result is not Undefined:
                results[name] = result
        return results


def _plain(parent: GraphQLObjectType, source: Any, field: str) -> Any:
    """Return the serialized value of a field that is read from the row; None where it is anything else."""
    serialize = _serializer(parent, field)
    if serialize is None:
        return None
    try:
        value = read_named(source, field)
        found = None if value is None else serialize(value)
    except Exception:  # noqa: BLE001 - graphql-core meets it again, and says where it is
        return None
    return None if found is Undefined else found


@lru_cache(maxsize=1024)
def _serializer(parent: GraphQLObjectType, field: str) -> Callable[[Any], Any] | None:
    known = parent.fields.get(field)
    if known is None or known.resolve is not None or known.args:
        return None
    kind = known.type.of_type if isinstance(known.type, GraphQLNonNull) else known.type
    return kind.serialize if is_leaf_type(kind) else None


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
