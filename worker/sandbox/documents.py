"""Parses and checks operation texts, once per text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    get_argument_values,
    get_operation_ast,
    parse,
    validate,
)


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
