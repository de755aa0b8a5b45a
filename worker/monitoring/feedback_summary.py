"""What ``status`` says of the feedback room's summaries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from worker.feedback.drift import State
from worker.feedback.messages import detector_name, percent


def status_lines(summaries: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """One line per project and model version."""
    for project, summary in summaries.items():
        for model, found in summary["models"].items():
            yield f"agreement      {project} {model}: {_agreement(found)}{_raised(found)}"
        if summary["mark_conflicts"]:
            yield f"agreement      {project}: {summary['mark_conflicts']} marks of Kili say the opposite of ours"
        files = summary.get("label_files")
        if files and (files["waiting"] or files["unreadable"]):
            counts = f"{files['waiting']} label files are tried again, {files['unreadable']} are unreadable"
            yield f"labels         {project}: {counts}: {files['problem']}"


def _agreement(found: Mapping[str, Any]) -> str:
    counts = f"{found['verdicts']} verdicts, {found['audits']} audits"
    if found["value"] is None:
        return f"not known yet ({counts})"
    return f"{percent(found['value'])} ({percent(found['low'])} to {percent(found['high'])}; {counts})"


def _raised(found: Mapping[str, Any]) -> str:
    raised = [detector_name(name) for name, state in found["drift"].items() if state == State.RAISED]
    return f"; DRIFT: {', '.join(raised)}" if raised else ""
