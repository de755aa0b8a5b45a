"""An explanation as text for people."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MOST_ROWS = 20
"""Classes, objects, entities or frames that are shown of one output."""

_POINT = re.compile(r'{\s+"x": ([^,\s]+),\s+"y": ([^,\s]+)\s+}')


def explained_text(found: Mapping[str, Any]) -> str:
    """Write what ``explain_message`` found out, line by line."""
    return "\n".join(_lines(found)).strip("\n")


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    if "format" in found:
        yield f"format         {found['format']}"
        yield f"recognised as  {found['why']}"
    for prediction in found.get("predictions", ()):
        yield ""
        yield from _prediction(prediction)
    if "result" in found:
        result = found["result"]
        yield f"result         not sent along, it is at {result['location']}"
        yield f"read from      {result['read_from']}, when it is delivered"
    if "refused" in found:
        refused = found["refused"]
        yield from ("", f"REFUSED        {refused['field']}: {refused['problem']}", f"fix            {refused['fix']}")


def _prediction(prediction: Mapping[str, Any]) -> Iterator[str]:
    yield f"external_id    {prediction['external_id']}"
    if "output" not in prediction:
        return
    yield f"asset id       {prediction['asset_id']}"
    yield from _titled("output", _output(prediction["output"]))
    if prediction.get("unknown_classes"):
        names = [f"{name} ({count})" for name, count in prediction["unknown_classes"].items()]
        yield f"left out       classes without a category: {', '.join(names)}"
    if "json_response" in prediction:
        yield from _titled("json_response", _pretty(prediction["json_response"]))
    yield f"confidence     {_number(prediction['confidence'])}"
    decision = prediction["decision"]
    place = f"lane {decision['lane']}, priority {decision['priority']}"
    yield f"decision       {place}: {decision['reason']} ({decision['policy']}{_alone(decision)})"


def _alone(decision: Mapping[str, Any]) -> str:
    """A ranked decision depends on what else arrives, of which nothing is known here."""
    return ", as if it were the first prediction" if decision["percentile"] is not None else ""


def _titled(title: str, lines: Sequence[str]) -> Iterator[str]:
    for index, line in enumerate(lines):
        yield f"{title if index == 0 else '':<15}{line}"


def _output(output: Mapping[str, Any]) -> list[str]:
    lines = _answer(output["answer"])
    if output["job"]:
        lines[0] += f", for job {output['job']}"
    evidence = dict(output["evidence"])
    ignored = evidence.pop("ignored", [])
    if evidence:
        lines.append(f"beside it: {json.dumps(evidence, ensure_ascii=False)}")
    if ignored:
        lines.append(f"ignored: {', '.join(ignored)}")
    return lines


def _answer(answer: Mapping[str, Any]) -> list[str]:
    match answer:
        case {"kind": "classification", "scores": scores, "exclusive": exclusive}:
            choice = {True: " (one is right)", False: " (independent)", None: ""}[exclusive]
            return _table(f"classes{choice}", [f"{_number(one['score'])}  {one['label']}" for one in scores])
        case {"kind": "detection", "objects": objects}:
            return _table("objects", [_object(one) for one in objects])
        case {"kind": "entities", "entities": entities}:
            return _table("entities", [_entity(one) for one in entities])
        case {"kind": "transcription", "text": text, "score": score}:
            shown = text.replace("\n", "\\n")
            return ["text", f"  {_number(score)}  {shown}"]
        case {"kind": "frames", "frames": frames}:
            return _table("frames", [f"{one['index']}: {'; '.join(_answer(one['answer']))}" for one in frames])
        case {"kind": "nothing"}:
            return ["nothing was found"]
        case {"kind": "either", "answers": answers}:
            return [*_answer(answers[0]), "or, where the project asks for it:", *_answer(answers[1])]
        case {"kind": "several", "answers": answers}:
            return _table("jobs", [f"{name}: {'; '.join(_answer(one))}" for name, one in answers.items()])
        case _:
            return ["a json_response of Kili"]


def _table(what: str, rows: Sequence[str]) -> list[str]:
    more = [f"  … {len(rows) - MOST_ROWS} more"] if len(rows) > MOST_ROWS else []
    return [f"{what}: {len(rows)}", *(f"  {row}" for row in rows[:MOST_ROWS]), *more]


def _object(item: Mapping[str, Any]) -> str:
    points = [point for ring in item["shape"]["rings"] for point in ring]
    xs, ys = zip(*points, strict=True)
    corners = " ".join(f"{value:.3g}" for value in (min(xs), min(ys), max(xs), max(ys)))
    tool = f"{item['shape']['tool']} of {len(points)} points within {corners}"
    return f"{_number(item['score'])}  {item['label']}  {tool}"


def _entity(item: Mapping[str, Any]) -> str:
    return f"{_number(item['score'])}  {item['label']}  {item['begin']} to {item['end']} {item['text']!r}"


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def _pretty(response: Mapping[str, Any]) -> list[str]:
    text = json.dumps(response, indent=2, ensure_ascii=False)
    return _POINT.sub(r'{"x": \1, "y": \2}', text).splitlines()
