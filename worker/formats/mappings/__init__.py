"""Formats as data: mappings in jq, those that are shipped and those of the projects file."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from worker.formats.mappings.catalogue import Catalogue, MappingFailed
from worker.formats.mappings.mapping import FormatMapping, MappingError, mapping_tables, parse_mappings
from worker.formats.options import ReadOptions

SHIPPED = Path(__file__).with_name("shipped")


@lru_cache(maxsize=1)
def shipped() -> Catalogue:
    """The mappings that come with the worker."""
    found: dict[str, FormatMapping] = {}
    for path in sorted(SHIPPED.glob("*.toml")):
        if path.name.endswith(".tests.toml"):
            continue
        found |= parse_mappings(mapping_tables(path))
    return Catalogue(found.values())


def catalogue_of(options: ReadOptions) -> Catalogue:
    """The mappings that these options know of."""
    return shipped() if options.mappings is None else options.mappings


__all__ = [
    "SHIPPED",
    "Catalogue",
    "FormatMapping",
    "MappingError",
    "MappingFailed",
    "catalogue_of",
    "mapping_tables",
    "parse_mappings",
    "shipped",
]
