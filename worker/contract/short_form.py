"""Answers in the short form: shapes, spans of text, and the answers to several jobs."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from worker.contract.part import FINITE, Part, Probability, ShortName, check_names

SHAPES = ("boxes", "polygons", "masks", "points")
"""Shapes of one answer; they may stand together."""

SHORT = ("scores", "labels", "text", "entities", "jobs")

Label = Annotated[str, Meta(min_length=1)] | Annotated[int, Meta(ge=0)]
"""A class's name, or its index where ``classes`` names the indexes."""

Labels = Annotated[list[Label], Meta(min_length=1)]
ClassScores = Annotated[dict[str, Probability], Meta(min_length=1)]
Coordinate = Annotated[float, FINITE]
Point = Annotated[list[Coordinate], Meta(min_length=2, max_length=2)]
SeenPoint = Annotated[list[Coordinate], Meta(min_length=2, max_length=3)]
Four = Annotated[list[Coordinate], Meta(min_length=4, max_length=4)]
Ring = Annotated[list[Point], Meta(min_length=3)]


class _Object(Part):
    label: Annotated[Label, Meta(description="The object's class.")]
    score: Annotated[Probability | None, Meta(description="Probability, 0 to 1.")] = None
    track: Annotated[ShortName | int | None, Meta(description="The same for one object in all frames.")] = None
    page: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="Page of a PDF, from 1.")] = None

    def __post_init__(self) -> None:
        if isinstance(self.track, str):
            check_names((self.track,))


class Box(_Object):
    """A rectangle: four numbers in `box_order`, perhaps turned; or its four corners."""

    box: Annotated[Four | None, Meta(description="In `units` and `box_order`; `xyxy` when absent.")] = None
    angle: Annotated[
        Coordinate | None, Meta(description="Degrees by which the box is turned about its centre, clockwise as seen.")
    ] = None
    corners: Annotated[
        Annotated[list[Point], Meta(min_length=4, max_length=4)] | None,
        Meta(description="The corners of a turned box, in order around it."),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.box is None) == (self.corners is None):
            raise ValueError("needs exactly one of box, corners")


class Polygon(_Object, kw_only=True):
    """An outline of three points or more, and the holes in it."""

    polygon: Annotated[Ring, Meta(description="Points [x, y] in `units`, in order around the outline.")]
    holes: Annotated[list[Ring] | None, Meta(description="Outlines of what does not belong to it.")] = None


class Mask(_Object):
    """A mask of the whole image, or of the part of it in `box`."""

    png: Annotated[str | None, Meta(description="Grayscale PNG in base64: 128 and lighter is inside.")] = None
    rle: Annotated[dict[str, Any] | None, Meta(description="COCO run lengths: size [height, width] and counts.")] = None
    grid: Annotated[
        list[list[Coordinate | bool]] | None, Meta(description="Rows of values from 0 to 1: above 0.5 is inside.")
    ] = None
    box: Annotated[Four | None, Meta(description="Where the mask lies, in `units` and `box_order`.")] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.png, self.rle, self.grid).count(None) != 2:
            raise ValueError("needs exactly one of png, rle, grid")


class Points(_Object):
    """One point, or the named points of a pose."""

    point: Annotated[Point | None, Meta(description="A single point [x, y] in `units`.")] = None
    points: Annotated[
        list[SeenPoint | None] | dict[str, SeenPoint | None] | None,
        Meta(
            description="Points of a pose by name, or in the order of `point_names`: [x, y], or [x, y, visibility from "
            "0 to 1]; null for one that was not found."
        ),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.point is None) == (self.points is None):
            raise ValueError("needs exactly one of point, points")


class EntitySpan(Part):
    """A span of the asset's text; without offsets, the only place where `text` occurs."""

    label: Annotated[Label, Meta(description="The entity's class.")]
    start: Annotated[Annotated[int, Meta(ge=0)] | None, Meta(description="First character, from 0.")] = None
    end: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="Behind the last character.")] = None
    text: Annotated[str | None, Meta(description="The words; checked against the asset's text.")] = None
    score: Annotated[Probability | None, Meta(description="Probability, 0 to 1.")] = None

    def __post_init__(self) -> None:
        if (self.start is None) != (self.end is None) or (self.start is None and not self.text):
            raise ValueError("needs start and end, or text")


class JobAnswer(Part):
    """The answer to one job."""

    scores: ClassScores | None = None
    labels: Labels | None = None
    text: str | None = None
    entities: list[EntitySpan] | None = None
    boxes: list[Box] | None = None
    polygons: list[Polygon] | None = None
    masks: list[Mask] | None = None
    points: list[Points] | None = None

    def __post_init__(self) -> None:
        answers = [name for name in SHORT[:-1] if getattr(self, name) is not None]
        if len(answers) + any(getattr(self, name) is not None for name in SHAPES) != 1:
            raise ValueError(f"needs exactly one of {', '.join((*SHORT[:-1], *SHAPES))}")
