"""Prometheus' text exposition format."""

from __future__ import annotations

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def sample(name: str, value: float | str, **labels: str) -> str:
    """One sample of a metric of the worker (``name`` without ``prediction_worker_``); labels may hold any text."""
    told = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    return f"prediction_worker_{name}{{{told}}} {value}" if told else f"prediction_worker_{name} {value}"


def _escaped(text: str) -> str:
    """Escape the characters that end a label; half of a surrogate pair, which UTF-8 cannot hold, becomes ``?``."""
    return text.encode("utf-8", "replace").decode().translate(_ESCAPES)
