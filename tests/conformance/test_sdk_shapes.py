"""Labels in Kili's own forms: taken, refused and marked by the sandbox as Kili's public material says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.case_judge import CaseJudge
from tests.conformance.kili_agreements import AGREEING
from tests.conformance.kili_refusals import REFUSED
from tests.conformance.kili_shapes import TAKEN
from worker.sandbox.process import SandboxProcess

if TYPE_CHECKING:
    from kili.client import Kili

TAKEN_OR_REFUSED = {**TAKEN, **REFUSED}
#: What even the lenient server refuses; a frame with a name can only be an unknown job to it.
NAMES = {"an unknown category", "an unknown job", "an unknown category of a conversation", "a frame with a name"}


@pytest.fixture
def judge(sandbox: SandboxProcess, kili: Kili, admin: Callable[..., Any]) -> CaseJudge:
    admin("config", {"agreement": "documented"})
    return CaseJudge(sandbox, kili)


@pytest.mark.parametrize("name", TAKEN_OR_REFUSED)
def test_a_label_is_taken_or_refused(judge: CaseJudge, name: str) -> None:
    assert judge.problems(TAKEN_OR_REFUSED[name]) == []


@pytest.mark.parametrize("name", AGREEING)
def test_two_labels_agree_as_far_as_they_should(judge: CaseJudge, name: str) -> None:
    assert judge.problems(AGREEING[name]) == []


@pytest.mark.parametrize("name", [*list(TAKEN)[::3], *REFUSED])
def test_the_lenient_server_refuses_unknown_names_only(judge: CaseJudge, admin: Callable[..., Any], name: str) -> None:
    admin("config", {"validation": "lenient"})
    assert judge.problems({**TAKEN_OR_REFUSED[name], "expect": {"valid": name not in NAMES}}) == []
