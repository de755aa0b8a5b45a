"""``prediction-worker explain``: what matched and why, what was read, what Kili would get, and the decision."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from worker.cli import main
from worker.ontology import Interface, validate

EXAMPLES = Path(__file__).parents[2] / "examples"
ROW = re.compile(r"^\| \[`(?P<file>[\w-]+)\.json`\]\(.*?\) \| \[`(?P<interface>[\w-]+)`\]")
ROWS = [match for line in (EXAMPLES / "README.md").read_text("utf-8").splitlines() if (match := ROW.match(line))]
EVERY_EXAMPLE = pytest.mark.parametrize(("name", "interface"), [(row["file"], row["interface"]) for row in ROWS])
TEXTS = {"topic", "entities", "text"}


def explain(file: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["explain", str(file), *options])


def explain_example(name: str, interface: str, *options: str) -> Result:
    kind = "TEXT" if interface in TEXTS else "IMAGE"
    path = str(EXAMPLES / "interfaces" / f"{interface}.json")
    return explain(EXAMPLES / f"{name}.json", "--interface", path, "--input-type", kind, *options)


@EVERY_EXAMPLE
def test_every_example_is_explained_as_json(name: str, interface: str) -> None:
    result = explain_example(name, interface, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    message = json.loads((EXAMPLES / f"{name}.json").read_text("utf-8"))
    assert name in found["format"].split("/")
    assert found["why"]
    [prediction] = found["predictions"]
    assert prediction["external_id"] == message["external_id"]
    assert prediction["output"]["answer"]["kind"] in (
        "classification",
        "detection",
        "entities",
        "transcription",
        "either",
        "kili",
    )
    raw = json.loads((EXAMPLES / "interfaces" / f"{interface}.json").read_text("utf-8"))
    known = Interface.parse(raw, "TEXT" if interface in TEXTS else "IMAGE")
    validate(prediction["json_response"], known, text=message["asset"].get("text"))
    assert prediction["confidence"] is None or 0 <= prediction["confidence"] <= 1
    assert prediction["decision"]["reason"]


@EVERY_EXAMPLE
def test_every_example_is_explained_to_people(name: str, interface: str) -> None:
    result = explain_example(name, interface)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    titles = [line.split("  ")[0] for line in lines if line and not line.startswith(" ")]
    assert titles == [
        *("format", "recognised as", "external_id", "asset id"),
        *("output", "json_response", "confidence", "decision"),
    ]
    shown = "\n".join(line[15:] for line in lines[titles_at(lines, "json_response") : titles_at(lines, "confidence")])
    as_json = json.loads(explain_example(name, interface, "--json").output)
    assert json.loads(shown) == as_json["predictions"][0]["json_response"]


def titles_at(lines: list[str], title: str) -> int:
    return next(number for number, line in enumerate(lines) if line.startswith(title))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "tf-serving-rows",
            ["classes: 3", "0.810  cat", "lane 3, priority 0: below the cut (ranked/built-in/default,"],
        ),
        ("coco", ["objects: 2", "0.380  person  rectangle of 4 points within 0.625 0.188 0.734 0.625"]),
        ("hf-token-classification", ["entities: 2", "0.980  PERSON  0 to 12 'Ada Lovelace'"]),
        ("hf-speech", ["unknown  Turn left at the station.", "confidence     unknown"]),
        ("kili", ["a json_response of Kili"]),
        ("sagemaker-async", ["format         sagemaker-async/", "; inside: ", 'beside it: {"sagemaker"']),
    ],
)
def test_people_read_classes_objects_and_texts(name: str, words: list[str]) -> None:
    output = explain(EXAMPLES / f"{name}.json").output
    assert all(word in output for word in words), output
    assert "json_response  {" not in output


def changed(folder: Path, name: str, **output: Any) -> Path:
    message = json.loads((EXAMPLES / f"{name}.json").read_text("utf-8"))
    message["output"] = {key: value for key, value in {**message["output"], **output}.items() if value is not None}
    path = folder / "message.json"
    path.write_text(json.dumps(message), "utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "output", "words"),
    [
        (
            "hf-object-detection",
            {"payload": [{"label": "cat", "score": 0.9, "bx": [1, 2, 3, 4]}]},
            ["output.payload[0].box: no known format; the nearest is hf-object-detection", "is it 'bx'?"],
        ),
        (
            "tf-serving-rows",
            {"payload": {"prediction": [[0.1, 0.9]]}},
            ["output.payload.predictions: no known format; the nearest is tf-serving-rows", "is it 'prediction'?"],
        ),
        (
            "torchserve-detector",
            {"image_size": None},
            ["format         torchserve-detector", "coordinates in pixels need the image's size", "set image_size"],
        ),
        (
            "tf-serving-rows",
            {"payload": {"predictions": [[0.9, 0.7, 0.1]]}},
            ["format         tf-serving-rows", "sum to 1.7, not to 1", "score_kind: logit"],
        ),
        (
            "tf-serving-rows",
            {"classes": ["cat", "dgo", "bird"], "payload": {"predictions": [[0.1, 0.8, 0.1]]}},
            ["0.800  dgo", "output.answer.scores[1].label: no category", "to 'DOG', under categories"],
        ),
    ],
)
def test_a_refusal_says_what_was_known_the_field_and_the_fix(
    tmp_path: Path, name: str, output: dict[str, Any], words: list[str]
) -> None:
    interface = str(EXAMPLES / "interfaces" / "animal.json")
    result = explain(changed(tmp_path, name, **output), "--interface", interface)
    assert result.exit_code == 1
    assert all(word in result.output for word in words), result.output
    assert "REFUSED" in result.output
    refused = json.loads(explain(changed(tmp_path, name, **output), "--interface", interface, "--json").output)
    assert set(refused["refused"]) == {"field", "problem", "fix"}


def test_a_batch_is_explained_asset_by_asset(tmp_path: Path) -> None:
    message = json.loads((EXAMPLES / "coco.json").read_text("utf-8"))
    del message["external_id"], message["asset"]
    path = tmp_path / "batch.json"
    path.write_text(json.dumps({**message, "external_ids": ["empty", "examples/coco"]}), "utf-8")
    output = explain(path).output
    assert (
        output.index("external_id    empty") < output.index("objects: 0") < output.index("external_id    examples/coco")
    )
    assert "objects: 2" in output


POINTER = {
    "invocationStatus": "Completed",
    "inferenceId": "id-1",
    "responseParameters": {"contentType": "application/json", "outputLocation": "s3://results/out/x.json"},
}


def test_a_result_elsewhere_is_not_read_but_its_place_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = changed(tmp_path, "sagemaker-async", payload=POINTER)
    refused = explain(path)
    assert refused.exit_code == 1
    assert "WORKER_INTAKE__RESULT_PLACES" in refused.output
    monkeypatch.setenv("WORKER_INTAKE__RESULT_PLACES", '["s3://results/=https://results.example.com/"]')
    allowed = explain(path)
    assert allowed.exit_code == 0
    assert "read from      https://results.example.com/out/x.json, when it is delivered" in allowed.output


def test_long_outputs_are_cut(tmp_path: Path) -> None:
    rows = [[0.04] * 25]
    path = changed(tmp_path, "tf-serving-rows", payload={"predictions": rows}, classes=[f"c{n}" for n in range(25)])
    assert "… 5 more" in explain(path).output


@pytest.mark.parametrize(("text", "problem"), [("{", "is not JSON"), ("[]", "must be an object"), ("{}", "jobs: must")])
def test_an_interface_that_cannot_be_read_is_said(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "interface.json"
    path.write_text(text, "utf-8")
    result = explain(EXAMPLES / "kili.json", "--interface", str(path))
    assert result.exit_code == 1
    assert "--interface: " in result.output
    assert problem in result.output


SCENE = {
    "jobs": {
        "SHIPS": {
            "mlTask": "OBJECT_DETECTION",
            "tools": ["rectangle"],
            "content": {"categories": {"TUG": {"name": "Tug"}}, "input": "radio"},
        }
    }
}
FOUND = {"name": "Tug", "class": 0, "confidence": 0.9, "box": {"x1": 10, "y1": 20, "x2": 30, "y2": 40}}
ON_A_SCENE = {
    "external_id": "a",
    "project_id": "p",
    "model": {"name": "m", "version": "1"},
    "predicted_at": "2026-11-23T10:15:00Z",
    "output": {"payload": [FOUND], "format": "ultralytics", "image_size": [100, 100]},
}


def test_what_coordinates_are_is_taken_from_the_project(tmp_path: Path) -> None:
    interface, message = tmp_path / "interface.json", tmp_path / "message.json"
    interface.write_text(json.dumps(SCENE))
    message.write_text(json.dumps(ON_A_SCENE))
    options = ("--interface", str(interface), "--input-type", "GEOSPATIAL", "--json")
    on_a_map, on_a_scene = explain(message, *options), explain(message, *options, "--labeling-crs", "PIXEL")
    assert "longitudes" in json.loads(on_a_map.output)["refused"]["problem"]
    [prediction] = json.loads(on_a_scene.output)["predictions"]
    [tug] = prediction["json_response"]["SHIPS"]["annotations"]
    assert tug["boundingPoly"][0]["normalizedVertices"][1] == {"x": 0.1, "y": 0.2}
