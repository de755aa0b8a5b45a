"""The schema: our SDL, its resolvers, and a version that changes whenever the SDL does."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import Any

from graphql import (
    GraphQLError,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLScalarType,
    GraphQLSchema,
    IntValueNode,
    ValueNode,
    build_schema,
)

from worker.sandbox import (
    resolvers_account,
    resolvers_assets,
    resolvers_copies,
    resolvers_imports,
    resolvers_issues,
    resolvers_labels,
    resolvers_projects,
    resolvers_webhooks,
    resolvers_workflow,
)
from worker.sandbox.actions import Errors
from worker.sandbox.context import context_of
from worker.sandbox.faults import FieldPlan
from worker.sandbox.fields import FIELDS, Resolver, attribute_of

LARGEST_PAGE = 100

QUERIES: dict[str, Resolver] = {
    **resolvers_account.QUERIES,
    **resolvers_projects.QUERIES,
    **resolvers_assets.QUERIES,
    **resolvers_labels.QUERIES,
    **resolvers_issues.QUERIES,
    **resolvers_webhooks.QUERIES,
}
MUTATIONS: dict[str, Resolver] = {
    **resolvers_account.MUTATIONS,
    **resolvers_projects.MUTATIONS,
    **resolvers_copies.MUTATIONS,
    **resolvers_imports.MUTATIONS,
    **resolvers_assets.MUTATIONS,
    **resolvers_labels.MUTATIONS,
    **resolvers_workflow.MUTATIONS,
    **resolvers_issues.MUTATIONS,
    **resolvers_webhooks.MUTATIONS,
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
