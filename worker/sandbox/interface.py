"""A project's jsonInterface, read once."""

from __future__ import annotations

from functools import lru_cache

from worker.ontology import Interface


@lru_cache(maxsize=256)
def read_interface(json_interface: str, input_type: str = "IMAGE") -> Interface:
    """Return the interface of a project; one that was never written has no jobs.

    Raises worker.ontology.InterfaceError when the text is no interface.
    """
    is_empty = json_interface.strip() in ("", "{}")
    return Interface.parse({"jobs": {}} if is_empty else json_interface, input_type)
