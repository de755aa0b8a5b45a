"""The command ``prediction-worker``. Each command lives in a module that is imported only when it is called."""

from __future__ import annotations

from worker.cli.group import main

__all__ = ["main"]
