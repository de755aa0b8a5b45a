"""What a payload tells beside its answer: ids, model names, token scores. Kept with the output for explanations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from worker.formats.output import ModelOutput


def with_evidence(output: ModelOutput, evidence: Mapping[str, Any]) -> ModelOutput:
    """Add evidence to an output; what the output says itself wins."""
    return replace(output, evidence={**evidence, **output.evidence}) if evidence else output


def with_ignored(output: ModelOutput, names: Sequence[str]) -> ModelOutput:
    """Say which keys of the payload were read and not used."""
    if not names:
        return output
    ignored = list(dict.fromkeys((*output.evidence.get("ignored", ()), *names)))
    return replace(output, evidence={**output.evidence, "ignored": ignored})


def texts_of(payload: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Pick the payload's non-empty strings: evidence name by payload key."""
    return {name: payload[key] for key, name in names.items() if isinstance(payload.get(key), str) and payload[key]}
