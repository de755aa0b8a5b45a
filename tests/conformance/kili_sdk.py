"""Kili's SDK, imported when a case first uses it: that takes two seconds, and every process collects every case."""

from __future__ import annotations

from importlib import import_module
from typing import Any

HOMES = {
    "AuthenticationFailed": "kili.exceptions",
    "BatchImportError": "kili.services.asset_import.exceptions",
    "GraphQLError": "kili.exceptions",
    "Kili": "kili.client",
    "MutationOutcomeUnknownError": "kili.exceptions",
}


def domain_kili(**options: Any) -> Any:
    """The SDK's other client, which has the same name."""
    return import_module("kili.client_domain").Kili(**options)


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(name)
    return getattr(import_module(HOMES[name]), name)
