"""A project's ``jsonInterface``: what may be answered, how an output becomes an answer, how two answers agree.

Knows nothing of HTTP, Redis or settings.
"""

from __future__ import annotations

from worker.ontology.interface import InterfaceDrift, drift
from worker.ontology.validate_annotations import rich_text_parts

from .agreement import Agreement, agreement
from .compiled import CompiledChoice
from .compose import to_json_response, unknown_labels
from .confidence import confidence_of
from .errors import CAUSES, Cause, InterfaceError, OntologyError
from .interface import IGNORED_JOBS, Category, Interface, Job, KeyPoint
from .validate import validate

__all__ = [
    "CAUSES",
    "IGNORED_JOBS",
    "Agreement",
    "Category",
    "Cause",
    "CompiledChoice",
    "Interface",
    "InterfaceDrift",
    "InterfaceError",
    "Job",
    "KeyPoint",
    "OntologyError",
    "agreement",
    "confidence_of",
    "drift",
    "rich_text_parts",
    "to_json_response",
    "unknown_labels",
    "validate",
]
