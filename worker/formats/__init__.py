"""From a serving stack's raw output to neutral model outputs; knows nothing of Kili, queues or HTTP."""

from worker.contract.output import ModelOutput, OutputError
from worker.formats.checks import AmbiguousFormat, ResultPointer, UnknownFormat
from worker.formats.families.inference_logs import Event, EventJoin, Joined, JoinStep, read_event
from worker.formats.families.unwrapped import read_kili_response
from worker.formats.mappings import Catalogue, MappingError
from worker.formats.masks import regions_of
from worker.formats.options import ReadOptions, selected
from worker.formats.reader import Reading, read_payload
from worker.formats.registry import FAMILIES, extended, formats
from worker.formats.short_form import are_independent, read_item, read_scores
from worker.formats.structure import Envelope, Family, Match, Miss

__all__ = [
    "FAMILIES",
    "AmbiguousFormat",
    "Catalogue",
    "Envelope",
    "Event",
    "EventJoin",
    "Family",
    "JoinStep",
    "Joined",
    "MappingError",
    "Match",
    "Miss",
    "ModelOutput",
    "OutputError",
    "ReadOptions",
    "Reading",
    "ResultPointer",
    "UnknownFormat",
    "are_independent",
    "extended",
    "formats",
    "read_event",
    "read_item",
    "read_kili_response",
    "read_payload",
    "read_scores",
    "regions_of",
    "selected",
]
