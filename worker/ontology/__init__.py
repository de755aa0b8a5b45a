"""A project's ``jsonInterface``: what may be answered, how an output becomes an answer, how two answers agree.

Knows nothing of HTTP, Redis or settings.
"""

from __future__ import annotations

from worker.ontology.agreement import Agreement, agreement
from worker.ontology.compose import to_json_response, unknown_labels
from worker.ontology.compose_classification import CompiledChoice
from worker.ontology.errors import CAUSES, InterfaceError, OntologyError
from worker.ontology.interface import IGNORED_JOBS, Interface, InterfaceDrift, drift
from worker.ontology.validate import rich_text_parts, validate
from worker.ontology.validate_context import confidence_of

__all__ = [
    "CAUSES",
    "IGNORED_JOBS",
    "Agreement",
    "CompiledChoice",
    "Interface",
    "InterfaceDrift",
    "InterfaceError",
    "OntologyError",
    "agreement",
    "confidence_of",
    "drift",
    "rich_text_parts",
    "to_json_response",
    "unknown_labels",
    "validate",
]
