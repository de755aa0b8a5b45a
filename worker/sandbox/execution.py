"""How the sandbox executes an operation: graphql-core's way, with a shorter one for what is read as it is stored."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from graphql import ExecutionContext, FieldNode, GraphQLNonNull, GraphQLObjectType, Undefined, is_leaf_type
from graphql.pyutils import Path

from worker.sandbox.fields import read_named


class Execution(ExecutionContext):
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
