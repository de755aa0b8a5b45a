from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from kili_examples import EXAMPLES
from ontology_fixtures import choice, detection, parsed, pose, project, relation, transcription
from task_shapes import SHAPES, Case

from worker.ontology import Interface, InterfaceError


@pytest.mark.parametrize("case", [*SHAPES.values(), *EXAMPLES.values()], ids=[*SHAPES, *EXAMPLES])
def test_every_project_is_read_with_all_its_jobs_and_categories(case: Case) -> None:
    interface = parsed(case.json_interface, case.input_type)
    found = {name: tuple(job.categories) for name, job in interface.jobs.items()}
    jobs = case.json_interface["jobs"]
    assert found == {name: tuple(job["content"].get("categories", {})) for name, job in jobs.items()}


def test_a_job_keeps_what_decides_its_answers() -> None:
    raw = project(
        SHIPS=detection("TUG", "BIG_FERRY", tools=["rectangle", "polygon"], required=1, children={"TUG": ["FLAG"]}),
        FLAG=choice("RED", "BLUE", input="singleDropdown", isChild=True),
    )
    ships, flag = parsed(raw).jobs.values()
    assert (ships.ml_task, ships.tools, ships.required, ships.is_child) == (
        "OBJECT_DETECTION",
        ("rectangle", "polygon"),
        True,
        False,
    )
    assert ships.categories["BIG_FERRY"].display_name == "Big ferry"
    assert ships.children_of(["TUG", "BIG_FERRY"]) == ("FLAG",)
    assert (flag.input, flag.single_choice, flag.is_child) == ("singleDropdown", True, True)


@pytest.mark.parametrize(
    ("input_kind", "single"),
    [("radio", True), ("singleDropdown", True), ("checkbox", False), ("multipleDropdown", False)],
)
def test_the_input_kind_tells_single_from_multiple_choice(input_kind: str, single: bool) -> None:
    assert parsed(project(J=choice("A", input=input_kind))).jobs["J"].single_choice is single


def test_poses_keep_their_points_and_relations_their_ends() -> None:
    raw = project(HANDS=pose("HAND", "WRIST"), HAS=relation("OBJECT_RELATION", "OWNS", ["HAND"], ["RING"]))
    interface = parsed(raw)
    assert [point.code for point in interface.jobs["HANDS"].categories["HAND"].points] == ["WRIST"]
    owns = interface.jobs["HAS"].categories["OWNS"]
    assert (owns.starts, owns.ends) == (("HAND",), ("RING",))


def test_the_json_text_of_an_interface_reads_like_the_object() -> None:
    raw = project(J=choice("A", "B"))
    assert Interface.parse(json.dumps(raw)) == Interface.parse(raw)


def test_unknown_kinds_of_jobs_are_kept() -> None:
    raw = {"jobs": {"SORT": {"mlTask": "RANKING"}, "SAY": {"mlTask": "SPEECH_TO_TEXT", "content": {"x": 1}}}}
    assert {job.ml_task for job in parsed(raw).root_jobs} == {"RANKING", "SPEECH_TO_TEXT"}


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ("{", "jsonInterface"),
        ("[]", "jsonInterface"),
        ({}, "jobs"),
        ({"jobs": []}, "jobs"),
        ({"jobs": {"J": None}}, "jobs.J"),
        ({"jobs": {"J": {}}}, "jobs.J.mlTask"),
        ({"jobs": {"J": {"mlTask": 3}}}, "jobs.J.mlTask"),
        ({"jobs": {"J": {"mlTask": "X", "content": [1]}}}, "jobs.J.content"),
        ({"jobs": {"J": {"mlTask": "X", "content": {"input": 1}}}}, "jobs.J.content.input"),
        ({"jobs": {"J": {"mlTask": "X", "content": {"categories": ["A"]}}}}, "jobs.J.content.categories"),
        ({"jobs": {"J": {"mlTask": "X", "content": {"categories": {"A": 1}}}}}, "jobs.J.content.categories.A"),
        ({"jobs": {"J": {"mlTask": "X", "tools": "rectangle"}}}, "jobs.J.tools"),
        ({"jobs": {"J": {"mlTask": "X", "tools": [1]}}}, "jobs.J.tools"),
        (
            {"jobs": {"J": {"mlTask": "X", "content": {"categories": {"A": {"children": [1]}}}}}},
            "jobs.J.content.categories.A.children",
        ),
        (
            {"jobs": {"J": {"mlTask": "X", "content": {"categories": {"A": {"points": [{}]}}}}}},
            "jobs.J.content.categories.A.points[0].code",
        ),
    ],
)
def test_garbage_is_refused_at_its_place(raw: Any, field: str) -> None:
    with pytest.raises(InterfaceError) as caught:
        parsed(raw)
    assert caught.value.field == field
    assert str(caught.value).startswith(field)


def test_the_fingerprint_ignores_looks_and_the_order_of_jobs() -> None:
    raw = project(A=choice("X", "Y"), B=transcription())
    repainted = project(B=transcription(), A=choice("X", "Y"))
    repainted["jobs"]["A"]["instruction"] = "another question"
    repainted["jobs"]["A"]["content"]["categories"]["X"]["color"] = "#ff0000"
    assert parsed(repainted).fingerprint == parsed(raw).fingerprint


@pytest.mark.parametrize(
    "change",
    [
        lambda job: job["content"]["categories"].pop("Y"),
        lambda job: job["content"].update(input="checkbox"),
        lambda job: job.update(required=1),
        lambda job: job.update(isChild=True),
        lambda job: job["content"]["categories"]["X"].update(name="Other"),
        lambda job: job["content"]["categories"]["X"].update(children=["K"]),
        lambda job: job["content"].update(categories=dict(reversed(job["content"]["categories"].items()))),
    ],
    ids=["category", "input", "required", "child", "display name", "children", "order of categories"],
)
def test_the_fingerprint_changes_with_what_decides_an_answer(change: Any) -> None:
    raw = project(A=choice("X", "Y"))
    changed = deepcopy(raw)
    change(changed["jobs"]["A"])
    assert parsed(changed).fingerprint != parsed(raw).fingerprint


def test_the_fingerprint_depends_on_the_kind_of_asset() -> None:
    raw = project(A=choice("X"))
    assert parsed(raw, "IMAGE").fingerprint != parsed(raw, "VIDEO").fingerprint
