"""What the contract is made of: structs that msgspec reads, and the same rules for pydantic, which words a refusal.

A part is declared once. Pydantic gets its types and bounds (``msgspec.Meta``) too; a rule over several fields is its
``__post_init__``, which runs whoever reads it. Two rules stand beside ``Meta`` for pydantic alone: that numbers are
finite, which msgspec takes for granted, and the patterns of names, which ``check_names`` and ``check_identifier`` ask
of a struct for less.
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
