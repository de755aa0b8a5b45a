"""From a serving stack's raw output to neutral model outputs; knows nothing of Kili, queues or HTTP."""

from worker.contract.output import ModelOutput, OutputError
from worker.formats.checks import AmbiguousFormat, ResultPointer, UnknownFormat
from worker.formats.contours import regions_of
from worker.formats.families.inference_logs import Event, EventJoin, Joined, JoinStep, read_event
from worker.formats.families.own_forms import read_kili_response
from worker.formats.mappings import Catalogue, MappingError
from worker.formats.options import ReadOptions, selected
from worker.formats.reader import Reading, read_payload
from worker.formats.registry import FAMILIES, extended, formats
from worker.formats.short_form import read_item, read_scores, read_short_form
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
