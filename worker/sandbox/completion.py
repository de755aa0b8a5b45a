"""How the sandbox completes an answer, faster than graphql-core does it: from what resolvers return to what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import Any

from graphql import (
    ExecutionContext,
    FieldNode,
    GraphQLEnumType,
    GraphQLField,
    GraphQLLeafType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    GraphQLScalarType,
    Undefined,
    get_argument_values,
)
from graphql.execution.execute import get_field_def
from graphql.pyutils import Path

from worker.sandbox.resolvers.fields import Resolver, reading_of

Complete = Callable[[Any], Any]
"""From what a resolver has returned to what is written into the answer."""

_EXACT: dict[str, type] = {"String": str, "ID": str, "Boolean": bool}
"""Values of these classes are written as they are."""


class Unusual(Exception):
    """A value that graphql-core is to complete."""


class Execution(ExecutionContext):
    """As graphql-core has it; but what lies below a root field is read without a path and information on every value.

    How each field is read is looked up once in an execution. Whatever is out of the ordinary, and every error, takes
    graphql-core's way: resolvers below root fields only read, so they may be asked again.
    """

    def complete_value(
        self,
        return_type: GraphQLOutputType,
        field_nodes: list[FieldNode],
        info: GraphQLResolveInfo,
        path: Path,
        result: Any,
    ) -> Any:
        """Return a value as it is written into the answer."""
        try:
            return self._completing(return_type, field_nodes, path)(result)
        except Exception:  # noqa: BLE001 - graphql-core meets it again, and says where it is
            return super().complete_value(return_type, field_nodes, info, path, result)

    def _completing(self, kind: GraphQLOutputType, nodes: list[FieldNode], path: Path) -> Complete:
        key = id(kind), id(nodes[0])
        if key not in self._known:
            self._known[key] = self._made(kind, nodes, path)
        return self._known[key]

    @cached_property
    def _known(self) -> dict[tuple[int, int], Complete]:
        return {}

    def _made(self, kind: GraphQLOutputType, nodes: list[FieldNode], path: Path) -> Complete:
        match kind:
            case GraphQLNonNull():
                return _present(self._made(kind.of_type, nodes, path))
            case GraphQLList():
                return _each(self._made(kind.of_type, nodes, path))
            case GraphQLScalarType() | GraphQLEnumType():
                return _serialized(kind)
            case GraphQLObjectType(is_type_of=None):
                return _object(list(self._fields(kind, nodes, path)))
        return _unusual

    def _fields(
        self, kind: GraphQLObjectType, nodes: list[FieldNode], path: Path
    ) -> Iterator[tuple[str, Complete, Complete]]:
        for name, wanted in self.collect_subfields(kind, nodes).items():
            definition = get_field_def(self.schema, kind, wanted[0])
            if definition is not None:
                below = path.add_key(name, kind.name)
                complete = self._made(definition.type, wanted, below)
                yield name, self._reading(definition, kind, wanted, below), complete

    def _reading(
        self, definition: GraphQLField, kind: GraphQLObjectType, nodes: list[FieldNode], path: Path
    ) -> Complete:
        """From a row to what the resolver of one of its fields returns."""
        if definition.resolve is None:
            return reading_of(nodes[0].name.value)
        info = self.build_resolve_info(definition, nodes, kind, path)
        arguments = get_argument_values(definition, nodes[0], self.variable_values)
        return partial(_resolved, definition.resolve, info, arguments)


def _resolved(resolve: Resolver, info: GraphQLResolveInfo, arguments: dict[str, Any], source: Any) -> Any:
    return resolve(source, info, **arguments)


def _unusual(_: Any) -> Any:
    raise Unusual


def _present(complete: Complete) -> Complete:
    def run(value: Any) -> Any:
        found = complete(value)
        if found is None:
            raise Unusual
        return found

    return run


def _each(complete: Complete) -> Complete:
    def run(value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, list):
            raise Unusual
        return [complete(one) for one in value]

    return run


def _serialized(kind: GraphQLLeafType) -> Complete:
    serialize, exact = kind.serialize, _EXACT.get(kind.name)

    def run(value: Any) -> Any:
        if value is None or value.__class__ is exact:
            return value
        found = serialize(value)
        if found is None or found is Undefined:
            raise Unusual
        return found

    return run


def _object(fields: list[tuple[str, Complete, Complete]]) -> Complete:
    def run(source: Any) -> Any:
        if source is None:
            return None
        return {name: complete(read(source)) for name, read, complete in fields}

    return run
