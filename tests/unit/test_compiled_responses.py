"""What is compiled writes the same bytes as the general way, and refuses in the same words."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from msgspec import structs
from pydantic_core import to_json

from worker.contract import Prediction, read_prediction
from worker.contract.output import DetectedObject, Detection, ModelOutput, Shape
from worker.formats import OutputError
from worker.ontology import CompiledChoice, Interface, OntologyError, to_json_response
from worker.projects.configuration import ProjectConfig
from worker.projects.responses import response_of, response_text

LONG = pytest.param(100_000, marks=[pytest.mark.slow, pytest.mark.timeout(900)])
CASES = pytest.mark.parametrize("cases", [2_000, LONG])
CLASSES = ("RED", "red", "Red car", "BLUE", "GREY", "WHITE", "Ünï", "no such class", '"confidence":100', " ")
CATEGORIES = ("RED", "BLUE", "GREY", "WHITE", "Ü", '"confidence":100')
SHARES = (0.0, 1.0, 0.5, 0.25, 0.005, 0.995, 1.02, 1.021, 0.98, 0.979)


def outcome(make: Callable[[], object]) -> object:
    try:
        return make()
    except (OntologyError, OutputError) as error:
        return type(error), str(error), getattr(error, "cause", "")


def rarely(random: Random, value: object, otherwise: object = None, chance: float = 0.1) -> Any:
    return value if random.random() < chance else otherwise


def job(random: Random, *, is_child: bool = False) -> dict[str, Any]:
    names = random.sample(CATEGORIES, random.randint(1, len(CATEGORIES)))
    children = [] if is_child else rarely(random, ["CHILD"], [])
    categories = {name: {"name": random.choice((name, "Red car")), "children": children} for name in names}
    return {
        "mlTask": rarely(random, "TRANSCRIPTION", "CLASSIFICATION"),
        "content": {"categories": categories, "input": rarely(random, "checkbox", "radio", 0.2)},
        "required": random.randint(0, 1),
        "isChild": is_child,
    }


def choices(random: Random) -> Interface:
    jobs = {"ASKED": job(random)} | rarely(random, {"OTHER": job(random)}, {})
    jobs["CHILD"] = job(random, is_child=True)
    return Interface.parse({"jobs": jobs}, rarely(random, "VIDEO", random.choice(("IMAGE", "TEXT", "PDF"))))


def configuration(random: Random) -> ProjectConfig:
    return ProjectConfig(
        job=rarely(random, random.choice(("ASKED", "CHILD", "NONE")), chance=0.2),
        exclusive=rarely(random, random.choice((True, False)), chance=0.3),
        categories=rarely(random, {"Ünï": "Ü", "GREY": "BLUE"}, {}),
        ignored_classes=rarely(random, ["WHITE"]),
        unknown_classes=random.choice(("refuse", "ignore")),
        partial=random.random() < 0.5,
    )


def scores(random: Random, known: list[str]) -> dict[str, float]:
    pool = rarely(random, CLASSES, rarely(random, [*known, *map(str.lower, known)], known, 0.3), 0.2)
    labels = random.sample(pool, random.randint(1, len(pool)))
    kind = random.random()
    if kind < 0.2:
        return {label: random.choice(SHARES) if random.random() < 0.5 else random.random() for label in labels}
    parts = [random.choice((1, 2, 4)) if kind < 0.3 else random.random() ** 3 for _ in labels]
    whole = rarely(random, random.choice((0.985, 1.015, 0.6)), 1.0, 0.2) / sum(parts)
    digits = random.choice((2, 4, 16))
    return {label: min(1.0, round(part * whole, digits)) for label, part in zip(labels, parts, strict=True)}


def prediction(output: dict[str, Any]) -> Prediction:
    model = {"name": "m", "version": "1"}
    return read_prediction(
        {"external_id": "a", "model": model, "predicted_at": "2026-11-23T10:15:00Z", "output": output}
    )


BARE = prediction({"scores": {"RED": 1.0}})


@CASES
def test_a_compiled_choice_writes_what_the_general_way_writes(cases: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random, texts, text_of = Random(7), [], CompiledChoice.text
    monkeypatch.setattr(CompiledChoice, "text", lambda *args: texts.append(text_of(*args)) or texts[-1])
    for _ in range(cases // 50):
        interface, config = choices(random), configuration(random)
        known = list(interface.jobs["ASKED"].categories)
        for _ in range(50):
            told = {
                "scores": scores(random, known),
                "job": rarely(random, "ASKED", chance=0.3),
                "exclusive": rarely(random, random.choice((True, False))),
            }
            one = structs.replace(BARE, output=structs.replace(BARE.output, **told))
            general = outcome(lambda: to_json(response_of(one, interface, config)).decode())  # noqa: B023
            assert outcome(lambda: response_text(one, interface, config)) == general, (one, interface, config)  # noqa: B023
    assert len(texts) - texts.count(None) > cases / 20


def test_a_class_is_composed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(*args: Any) -> dict[str, Any]:
        calls.append(args)
        return response_of(*args)

    monkeypatch.setattr("worker.projects.responses.response_of", counted)
    interface = Interface.parse({"jobs": {"ASKED": {**CHILD, "isChild": False}}})
    found = [response_text(prediction({"scores": {"A": top}}), interface) for top in (0.6, 0.7, 0.8, 0.9)]
    assert found[3] == '{"ASKED":{"categories":[{"name":"A","confidence":90}]}}'
    assert len(calls) == 1


OBJECTS = {
    "mlTask": "OBJECT_DETECTION",
    "content": {"categories": {"CAR": {"children": ["CHILD"]}, "BUS": {"children": []}}, "input": "radio"},
    "required": 1,
}
CHILD = {"mlTask": "CLASSIFICATION", "content": {"categories": {"A": {}}, "input": "radio"}, "isChild": True}


def objects(random: Random) -> dict[str, Any]:
    tools = random.sample(("rectangle", "polygon", "semantic", "marker"), random.randint(1, 3))
    child = {**CHILD, "required": random.randint(0, 1)}
    other = {"OTHER": {**OBJECTS, "required": random.randint(0, 1)}} if random.random() < 0.2 else {}
    return {"jobs": {"ASKED": {**OBJECTS, "tools": tools}, **other, "CHILD": child}}


def share(random: Random) -> float:
    return (
        random.random() if random.random() < 0.97 else random.choice((-1e-7, 1 + 1e-7, -0.1, 1.1, math.nan, 0.0, 1.0))
    )


def shape(random: Random) -> Shape:
    if random.random() < 0.5:
        (left, right), (top, bottom) = (share(random), share(random)), (share(random), share(random))
        ring = ((left, top), (right, top), (right, bottom), (left, bottom))
        return Shape("rectangle", (ring[: random.choice((4,) * 20 + (3,))],))
    count = random.choice((2, 3, 4, 5, 6)) if random.random() < 0.2 else 5
    rings = tuple(
        tuple((share(random), share(random)) for _ in range(count)) for _ in range(random.choice((1, 1, 1, 2)))
    )
    return Shape(random.choice(("polygon", "polygon", "semantic", "marker")), rings)


def detected(random: Random) -> DetectedObject:
    label = random.choice(("CAR", "BUS", "BUS", "BUS", "bus") if random.random() < 0.98 else ("no such class",))
    score = random.choice((None, random.random(), random.random(), 1.0)) if random.random() < 0.99 else 1.5
    return DetectedObject(label, shape(random), score, page=random.choice((None, 0, 1)))


@CASES
def test_areas_of_a_known_kind_are_what_a_new_interface_makes_of_them(cases: int) -> None:
    random, valid = Random(11), 0
    for _ in range(cases // 40):
        content = objects(random)
        kind = random.choice(("IMAGE", "IMAGE", "IMAGE", "TEXT", "PDF", "VIDEO", "GEOSPATIAL"))
        used = Interface.parse(content, kind)
        options = {"unknown_classes": random.choice(("refuse", "ignore"))}
        for _ in range(20):
            output = ModelOutput(Detection(tuple(detected(random) for _ in range(random.randint(0, 3)))), job="ASKED")
            rest: dict[str, Any] = {**options, "partial": random.random() < 0.5, "georeferenced": random.random() < 0.2}
            general = outcome(lambda: to_json(to_json_response(output, replace(used), **rest)))  # noqa: B023
            again = outcome(lambda: to_json(to_json_response(output, used, **rest)))  # noqa: B023
            assert again == general, (output, content, kind, rest)
            valid += isinstance(general, bytes)
    assert valid > cases / 20
