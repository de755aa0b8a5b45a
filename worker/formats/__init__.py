"""From a serving stack's raw output to neutral model outputs; knows nothing of Kili, queues or HTTP."""

from worker.contract.output import ModelOutput, OutputError
from worker.formats.checks import AmbiguousFormat, ResultPointer, UnknownFormat
from worker.formats.event_join import EventJoin, Joined, JoinStep
from worker.formats.families.cloudevents import Event, read_event
from worker.formats.families.kili import read_kili_response
from worker.formats.mappings import Catalogue, MappingError
from worker.formats.options import ReadOptions
from worker.formats.reader import Reading, read_payload
from worker.formats.regions import regions_of
from worker.formats.registry import FAMILIES, extended, formats
from worker.formats.selection import selected
from worker.formats.short_form import are_independent, read_item, read_scores, read_short_form
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
    "read_short_form",
    "regions_of",
    "selected",
]
