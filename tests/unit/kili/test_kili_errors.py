from __future__ import annotations

import pickle

import pytest

from worker.kili import errors
from worker.kili.errors import KiliError, RefusedItems, TransientError, UnknownOutcome

CLASSES = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, KiliError)]


def test_the_tree_in_the_docstring_names_every_class() -> None:
    drawing = errors.__doc__ or ""
    assert [kind.__name__ for kind in CLASSES if f" {kind.__name__}" not in drawing] == []


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_is_of_one_kind_only(kind: type[KiliError]) -> None:
    kinds = (TransientError, UnknownOutcome, RefusedItems, errors.RefusedProject, errors.RefusedKey)
    assert sum(issubclass(kind, parent) for parent in kinds) == (0 if kind is KiliError else 1)


@pytest.mark.parametrize("kind", CLASSES)
def test_only_an_unknown_outcome_may_have_been_applied(kind: type[KiliError]) -> None:
    assert kind("m").maybe_applied is issubclass(kind, UnknownOutcome)


def test_an_error_survives_a_process_boundary() -> None:
    error = RefusedItems(
        "m", operation="o", status=200, server_message="w", item_indexes=(1,), item_ids=("c",), access=True
    )
    error.project_id = "p"
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (RefusedItems, "m", vars(error))
