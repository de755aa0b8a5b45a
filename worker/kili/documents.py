"""Several mutations in one GraphQL document, and what its answer says of each.

The root fields of a mutation are executed one after the other, in the order of the document (GraphQL specification,
October 2021, section 6.2.2); one that fails is null, with an error that has its alias in ``path``, and the others run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.kili.answers import Question, json_document, judge_root, unreadable
from worker.kili.classify import GraphQLError, graphql_errors
from worker.kili.errors import KiliError
from worker.kili.operations import Blame, Operation, Variables, read_ids
from worker.kili.transport import HttpAnswer, KiliAccess


@dataclass(frozen=True, slots=True)
class Mutation:
    """One root field: its operation, its variables, and the asset ids of its items in order."""

    operation: Operation
    variables: Variables
    item_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class Document:
    """Mutations by alias, in the order in which the server executes them."""

    mutations: Mapping[str, Mutation]

    @property
    def operation(self) -> Operation:
        """What stands for the whole in errors and records."""
        operations = [mutation.operation for mutation in self.mutations.values()]
        name = "+".join(operation.field for operation in operations)
        return Operation("mutation", name, (), "", Blame.ITEMS, heavy=any(operation.heavy for operation in operations))

    @property
    def text(self) -> str:
        """The whole document."""
        declared = ", ".join(one.operation.declared(f"{alias}_") for alias, one in self.mutations.items())
        called = " ".join(f"{alias}: {one.operation.called(f'{alias}_')}" for alias, one in self.mutations.items())
        return f"mutation batch({declared}) {{ {called} }}"

    @property
    def variables(self) -> Variables:
        """The variables of all mutations."""
        return {
            f"{alias}_{name}": value for alias, one in self.mutations.items() for name, value in one.variables.items()
        }

    def read(self, access: KiliAccess, answer: HttpAnswer, *, gzipped: bool) -> dict[str, KiliError | None]:
        """Return by alias None for what went through, and the error of what did not.

        Raises the :class:`~worker.kili.errors.KiliError` that an answer without ``data`` stands for: nothing is known
        of any of the mutations then.
        """
        found = json_document(answer.body)
        data, errors = found.get("data") if 200 <= answer.status < 300 else None, graphql_errors(found)
        if not isinstance(data, dict):
            data = judge_root(Question(self.operation, access, (), gzipped), answer, None, errors)
        return {
            alias: _outcome(
                Question(one.operation, access, one.item_ids, gzipped), answer, data.get(alias), self._of(alias, errors)
            )
            for alias, one in self.mutations.items()
        }

    def _of(self, alias: str, errors: Sequence[GraphQLError]) -> list[GraphQLError]:
        """The errors of one mutation; one that names none of them may concern each."""
        return [error for error in errors if error.path[:1] == (alias,) or not self._names_one(error)]

    def _names_one(self, error: GraphQLError) -> bool:
        return bool(error.path) and error.path[0] in self.mutations


def _outcome(question: Question, answer: HttpAnswer, root: Any, errors: list[GraphQLError]) -> KiliError | None:
    try:
        read_ids(judge_root(question, answer, root, errors))
    except KiliError as error:
        return error
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        return unreadable(question, answer, problem)
    return None
