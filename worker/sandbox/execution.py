"""How the sandbox executes an operation: the schema with its resolvers, texts that are checked once, and the execution.

The version of the schema changes whenever the SDL does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from importlib.resources import files
from typing import Any

from graphql import (
    DocumentNode,
    ExecutionContext,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLEnumType,
    GraphQLError,
    GraphQLField,
    GraphQLLeafType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    GraphQLScalarType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    Undefined,
    ValueNode,
    build_schema,
    get_argument_values,
    get_operation_ast,
    parse,
    validate,
)
from graphql.execution.execute import get_field_def
from graphql.pyutils import Path

from worker.sandbox.errors import Errors
from worker.sandbox.faults import FieldPlan
from worker.sandbox.resolvers import account, assets, imports, labels, projects
from worker.sandbox.resolvers.context import context_of
from worker.sandbox.resolvers.fields import FIELDS, Resolver, attribute_of, reading_of

LARGEST_PAGE = 100

QUERIES: dict[str, Resolver] = {
    **account.QUERIES,
    **projects.QUERIES,
    **assets.QUERIES,
    **labels.QUERIES,
}
MUTATIONS: dict[str, Resolver] = {
    **account.MUTATIONS,
    **projects.MUTATIONS,
    **imports.MUTATIONS,
    **assets.MUTATIONS,
    **labels.MUTATIONS,
}


def read_sdl() -> str:
    """Return the text of the schema."""
    return files(__package__).joinpath("schema.graphql").read_text(encoding="utf-8")


def version_of(sdl: str) -> str:
    """Return the version the server reports: clients cache the schema under it."""
    return f"sandbox-{hashlib.sha256(sdl.encode()).hexdigest()[:12]}"


@cache
def make_schema(sdl: str) -> GraphQLSchema:
    """Build the executable schema; raises KeyError when SDL and resolvers do not match."""
    schema = build_schema(sdl)
    page_size = schema.type_map["PageSize"]
    if isinstance(page_size, GraphQLScalarType):
        page_size.parse_value = _page_size  # type: ignore[method-assign]
        page_size.parse_literal = _page_size_literal  # type: ignore[method-assign, assignment]
    for type_name, resolvers in {"Query": QUERIES, "Mutation": MUTATIONS, **FIELDS}.items():
        _bind(schema, type_name, resolvers)
    return schema


def _bind(schema: GraphQLSchema, type_name: str, resolvers: dict[str, Resolver]) -> None:
    object_type = schema.type_map[type_name]
    if not isinstance(object_type, GraphQLObjectType):
        raise KeyError(f"{type_name} is no object type")
    for name, resolve in resolvers.items():
        field = object_type.fields[name]
        field.resolve = _in_turn(resolve) if type_name == "Mutation" else resolve
        for argument, definition in field.args.items():
            definition.out_name = attribute_of(argument)
    if type_name in {"Query", "Mutation"} and (missing := set(object_type.fields) - set(resolvers)):
        raise KeyError(f"{type_name} has no resolver for {', '.join(sorted(missing))}")


def _in_turn(resolve: Resolver) -> Resolver:
    """A root field of a mutation, which the faults may have picked out of several."""

    def run(source: Any, info: GraphQLResolveInfo, **arguments: Any) -> Any:
        context = context_of(info)
        context.running = info.field_name
        error = context.fields.get(info.field_name, FieldPlan()).error
        if error is not None and not error.after:
            raise _scripted(error)
        result = resolve(source, info, **arguments)
        if error is not None:
            raise _scripted(error)
        return result

    return run


def _scripted(error: Errors) -> GraphQLError:
    first = error.body()["errors"][0]
    return GraphQLError(first["message"], extensions=first.get("extensions"))


def _page_size(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_PAGE:
        raise GraphQLError(f"PageSize must be an integer from 0 to {LARGEST_PAGE}, not {value!r}")
    return value


def _page_size_literal(node: ValueNode, _variables: dict[str, Any] | None = None) -> int:
    return _page_size(int(node.value) if isinstance(node, IntValueNode) else None)


@dataclass(frozen=True, slots=True)
class Prepared:
    """An operation that can be executed, or the errors why not."""

    document: DocumentNode | None
    operation: OperationDefinitionNode | None
    fields: tuple[FieldNode, ...]
    errors: tuple[GraphQLError, ...] = ()

    @property
    def is_mutation(self) -> bool:
        """Whether the operation writes."""
        return self.operation is not None and self.operation.operation is OperationType.MUTATION

    @property
    def name(self) -> str | None:
        """The operation's own name, if it has one."""
        return self.operation.name.value if self.operation is not None and self.operation.name else None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the root fields, whatever their aliases."""
        return tuple(field.name.value for field in self.fields)


class Documents:
    """Remembers the last texts; clients send few different ones."""

    def __init__(self, schema: GraphQLSchema, size: int = 1024) -> None:
        """Check operations against `schema` and remember `size` texts."""
        self._schema = schema
        self.prepare = lru_cache(maxsize=size)(self._prepare)

    def arguments(self, prepared: Prepared, variables: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of the first root field; empty when the variables do not fit."""
        if prepared.operation is None or not prepared.fields:
            return {}
        root = self._schema.get_root_type(prepared.operation.operation)
        definition = root.fields.get(prepared.fields[0].name.value) if root else None
        try:
            return get_argument_values(definition, prepared.fields[0], variables) if definition else {}
        except GraphQLError:
            return {}

    def _prepare(self, text: str, operation_name: str | None) -> Prepared:
        try:
            document = parse(text)
        except GraphQLError as error:
            return Prepared(None, None, (), (_with_code(error, "GRAPHQL_PARSE_FAILED"),))
        errors = validate(self._schema, document, max_errors=20)
        operation = get_operation_ast(document, operation_name)
        if operation is None:
            errors.append(GraphQLError("The document must hold one operation, or operationName say which."))
        if errors:
            coded = tuple(_with_code(error, "GRAPHQL_VALIDATION_FAILED") for error in errors)
            return Prepared(document, operation, (), coded)
        return Prepared(document, operation, tuple(_root_fields(document, operation)))


def _root_fields(document: DocumentNode, operation: OperationDefinitionNode | None) -> Iterator[FieldNode]:
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}

    def walk(selections: SelectionSetNode) -> Iterator[FieldNode]:
        for node in selections.selections:
            if isinstance(node, FieldNode):
                yield node
            elif isinstance(node, FragmentSpreadNode):
                yield from walk(fragments[node.name.value].selection_set)
            elif isinstance(node, InlineFragmentNode):
                yield from walk(node.selection_set)

    if operation is not None:
        yield from walk(operation.selection_set)


def _with_code(error: GraphQLError, code: str) -> GraphQLError:
    error.extensions = {**(error.extensions or {}), "code": code}
    return error


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
        known: dict[tuple[int, int], Complete] = self.__dict__.setdefault("_known", {})
        key = id(kind), id(nodes[0])
        if key not in known:
            known[key] = self._made(kind, nodes, path)
        return known[key]

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
