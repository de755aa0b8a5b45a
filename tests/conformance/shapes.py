"""Short ways to write interfaces and labels in Kili's forms."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def job(task: str, *names: str, **options: Any) -> Json:
    """A job; `children` maps a category to the jobs below it, `parts` adds keys to every category."""
    children, parts = options.pop("children", {}), options.pop("parts", {})
    categories = {name: {"name": name.title(), "children": children.get(name, []), **parts} for name in names}
    content = {"input": options.pop("input", "radio"), **({"categories": categories} if names else {})}
    return {"mlTask": task, "content": content, "isChild": False, "required": 0, "instruction": "?", **options}


def choice(*names: str, **options: Any) -> Json:
    return job("CLASSIFICATION", *names, **options)


def drawn(tool: str, *names: str, **options: Any) -> Json:
    return job("OBJECT_DETECTION", *names, **{"tools": [tool], **options})


def words(*names: str, **options: Any) -> Json:
    return job("NAMED_ENTITIES_RECOGNITION", *names, **options)


def text(**options: Any) -> Json:
    return job("TRANSCRIPTION", **{"input": "textField", **options})


def pose(**points: list[str]) -> Json:
    listed = {name: [{"code": code, "name": code.title()} for code in codes] for name, codes in points.items()}
    made = drawn("pose", *points)
    for name, category in made["content"]["categories"].items():
        category["points"] = listed[name]
    return made


def chosen(*names: str, **parts: Any) -> Json:
    return {"categories": [{"name": name} for name in names], **parts}


def listed(*annotations: Json) -> Json:
    return {"annotations": list(annotations)}


def named(name: str, mid: str | None = None, **parts: Any) -> Json:
    return {"categories": [{"name": name}], **({"mid": mid} if mid is not None else {}), **parts}


def ring(*numbers: float) -> Json:
    """A ring of x, y, x, y, …"""
    return {"normalizedVertices": points(*numbers)}


def points(*numbers: float) -> list[Json]:
    return [{"x": x, "y": y} for x, y in zip(numbers[::2], numbers[1::2], strict=True)]


def corners(left: float, top: float, right: float, bottom: float) -> tuple[float, ...]:
    return (left, bottom, left, top, right, top, right, bottom)


def box(name: str, mid: str | None, *sides: float, **parts: Any) -> Json:
    return named(name, mid, type="rectangle", boundingPoly=[ring(*corners(*sides))], **parts)


def patch(name: str, mid: str, *areas: Any, **parts: Any) -> Json:
    """A semantic annotation; an area is a ring, or a list of rings that belong together."""
    return named(name, mid, type="semantic", boundingPoly=list(areas), **parts)


def square(left: float, top: float, side: float = 0.2) -> Json:
    return ring(*corners(left, top, left + side, top + side))


def seen(code: str, x: float, y: float, **parts: Any) -> Json:
    return {"code": code, "point": {"x": x, "y": y}, "children": {}, **parts}


def on_pages(pages: list[int], *rings: Json, nested: bool = True) -> list[Json]:
    """The areas of an annotation of a PDF, flat or one level deeper."""
    areas = [{"normalizedVertices": [one["normalizedVertices"]]} for one in rings] if nested else list(rings)
    return [{"boundingPoly": areas, "polys": areas, "pageNumberArray": pages}]


def joins(name: str, mid: str, start: str, end: str, things: str = "Objects", **parts: Any) -> Json:
    return named(name, mid, **{f"start{things}": [{"mid": start}], f"end{things}": [{"mid": end}]}, **parts)


def relation(task: str, name: str, starts: list[str], ends: list[str], **options: Any) -> Json:
    things = "Objects" if task == "OBJECT_RELATION" else "Entities"
    return job(task, name, parts={f"start{things}": starts, f"end{things}": ends}, **options)
