"""The schema with its resolvers, and texts of operations that are checked once.

The version of the schema changes whenever the SDL does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLScalarType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    ValueNode,
    build_schema,
    get_argument_values,
    get_operation_ast,
    parse,
    validate,
)

from worker.sandbox.errors import Errors
from worker.sandbox.faults import FieldPlan
from worker.sandbox.resolvers import account, assets, imports, labels, projects
from worker.sandbox.resolvers.context import context_of
from worker.sandbox.resolvers.fields import FIELDS, Resolver, attribute_of

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
