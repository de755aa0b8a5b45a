"""A project's ``jsonInterface``: what may be answered, how an output becomes an answer, how two answers agree.

Knows nothing of HTTP, Redis or settings.
"""

from __future__ import annotations

from worker.ontology.agreement import Agreement, agreement
from worker.ontology.compiled import CompiledChoice
from worker.ontology.compose import to_json_response, unknown_labels
from worker.ontology.confidence import confidence_of
from worker.ontology.errors import CAUSES, Cause, InterfaceError, OntologyError
from worker.ontology.interface import IGNORED_JOBS, Category, Interface, InterfaceDrift, Job, KeyPoint, drift
from worker.ontology.validate import rich_text_parts, validate

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
