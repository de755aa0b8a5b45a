"""What ``status`` and the metrics say of the feedback room's summaries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from worker.environment import clock
from worker.feedback.drift import State
from worker.feedback.messages import detector_name, percent
from worker.monitoring.exposition import sample

GAUGES = {
    "agreement_ratio": ("value", "Estimated agreement of live traffic with the humans, 0 to 1."),
    "agreement_ratio_low": ("low", "Lower end of its 95 % interval."),
    "agreement_ratio_high": ("high", "Upper end of its 95 % interval."),
    "verdicts": ("verdicts", "Human answers that count."),
    "audits": ("audits", "Answered audits among them."),
    "overdue_audits": ("overdue_audits", "Audits without an answer that are overdue."),
}


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


def metric_lines(summaries: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The same in Prometheus' text exposition format; ``drift_alarm`` is 1 while an alarm waits for a person."""
    rows = [(project, model, found) for project, one in summaries.items() for model, found in one["models"].items()]
    for name, (key, meaning) in GAUGES.items():
        yield f"# HELP prediction_worker_{name} {meaning}"
        yield f"# TYPE prediction_worker_{name} gauge"
        for project, model, found in rows:
            if found[key] is not None:
                yield sample(name, found[key], project=project, model=model)
    yield "# TYPE prediction_worker_drift_alarm gauge"
    for project, model, found in rows:
        for detector, state in found["drift"].items():
            raised = int(state == State.RAISED)
            yield sample("drift_alarm", raised, project=project, model=model, detector=detector)
    yield "# TYPE prediction_worker_label_files_unread gauge"
    for project, summary in summaries.items():
        for state in ("waiting", "unreadable"):
            unread = summary.get("label_files", {}).get(state, 0)
            yield sample("label_files_unread", unread, project=project, state=state)
    yield "# TYPE prediction_worker_figures_age_seconds gauge"
    for project, summary in summaries.items():
        age = max(0.0, clock.now() - summary["at"])
        yield sample("figures_age_seconds", f"{age:.1f}", project=project)


def _agreement(found: Mapping[str, Any]) -> str:
    counts = f"{found['verdicts']} verdicts, {found['audits']} audits"
    if found["value"] is None:
        return f"not known yet ({counts})"
    return f"{percent(found['value'])} ({percent(found['low'])} to {percent(found['high'])}; {counts})"


def _raised(found: Mapping[str, Any]) -> str:
    raised = [detector_name(name) for name, state in found["drift"].items() if state == State.RAISED]
    return f"; DRIFT: {', '.join(raised)}" if raised else ""
