"""What messages are made of: the base of every object in them, and the answers of the short form.

A part is declared once, as a struct that msgspec reads. Pydantic, which words a refusal, gets its types and bounds
(``msgspec.Meta``) too; a rule over several fields is its ``__post_init__``, which runs whoever reads it. Two rules
stand beside ``Meta`` for pydantic alone: that numbers are finite, which msgspec takes for granted, and the patterns of
names, which ``check_names`` and ``check_identifier`` ask of a struct for less.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct
from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, create_model
from pydantic_core import CoreSchema, core_schema

PRINTABLE = r"^[^\x00-\x1f\x7f]+$"
UNPADDED = r"^[^\s\x00-\x1f\x7f](?:[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?$"
FINITE = Field(allow_inf_nan=False)
Probability = Annotated[float, Meta(ge=0.0, le=1.0), FINITE]
Identifier = Annotated[str, Meta(min_length=1, max_length=1024), Field(pattern=UNPADDED)]
ShortName = Annotated[str, Meta(min_length=1, max_length=200), Field(pattern=PRINTABLE)]
_is_printable = re.compile(PRINTABLE).fullmatch
_is_unpadded = re.compile(UNPADDED).fullmatch
_BOUNDS = ("gt", "ge", "lt", "le", "min_length", "max_length", "description")


class Part(Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """Base of every object in a message."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """For pydantic: the same fields and bounds, and this struct as the result."""

        def build(found: BaseModel) -> Part:
            return cls(**found.__dict__)

        return core_schema.no_info_after_validator_function(build, handler.generate_schema(_model_of(cls)))


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


@cache
def _model_of(part: type[Part]) -> type[BaseModel]:
    types = get_type_hints(part, include_extras=True)
    fields: dict[str, Any] = {}
    for one in msgspec.structs.fields(part):
        default = {} if one.required else {"default": one.default}
        if one.default_factory is not msgspec.NODEFAULT:
            default = {"default_factory": one.default_factory}
        alias = one.encode_name if one.encode_name != one.name else None
        fields[one.name] = Annotated[_for_pydantic(types[one.name]), Field(alias=alias, **default)]
    return create_model(part.__name__, __base__=_Model, __doc__=part.__doc__, __module__=part.__module__, **fields)


def _for_pydantic(annotation: Any) -> Any:
    """A type with the bounds of every ``Meta`` in it as pydantic's."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return Annotated[(_for_pydantic(args[0]), *map(_bounds, args[1:]))]
    if origin in (Union, UnionType):
        return Union[tuple(map(_for_pydantic, args))]  # noqa: UP007
    return origin[tuple(map(_for_pydantic, args))] if origin in (list, dict) else annotation


def _bounds(meta: Any) -> Any:
    if not isinstance(meta, Meta):
        return meta
    return Field(**{name: value for name in _BOUNDS if (value := getattr(meta, name)) is not None})


def check_names(texts: Iterable[str]) -> None:
    """Refuse texts that are not ``PRINTABLE``; they are not empty."""
    if not ("".join(texts).isprintable() or all(map(_is_printable, texts))):
        raise ValueError("must not hold control characters")


def check_identifier(text: str | None) -> None:
    """Refuse what is not ``UNPADDED``."""
    if text is None or (text.isprintable() and text[0] != " " != text[-1]) or _is_unpadded(text):
        return
    raise ValueError("must not begin or end with white space, nor hold control characters")


def plain(part: Part) -> dict[str, Any]:
    """A part as plain values, without what was not sent."""
    found: dict[str, Any] = msgspec.to_builtins(part)
    return found


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
