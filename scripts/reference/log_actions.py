"""docs/reference/log-actions.md: every ``action`` that the code logs, with what it means."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
Function = ast.FunctionDef | ast.AsyncFunctionDef
LEVELS = ("debug", "info", "warning", "error", "critical")

HEAD = """# Log actions

<!-- Written by `python -m scripts.write_reference`. Do not edit. -->

Logs are JSON lines on standard error. Each has `at`, `level`, `logger`, `message` and `action`; most have more fields,
such as `project`. Machines read `action`; the text of `message` may change. `WORKER_LOG__LEVEL` (`INFO`) sets the
least level that is written. `WORKER_LOG__FORMAT=text` writes for a terminal, without `action`. Lines of libraries have
the action `log`.

Secrets never appear in a line, nor do payloads.
"""

NOTHING = "nothing"
REPORT = "report it with the log"

ACTIONS: dict[str, tuple[str, str]] = {
    "admitted": ("entries of the inbox were admitted, with the number of each outcome", NOTHING),
    "audit_not_noted": (
        "the end of an action on the operator's page is not in the audit log, because Redis failed",
        NOTHING,
    ),
    "batches_smaller": (
        "Kili rejected a batch as too large or did not finish it in time; later ones are smaller",
        NOTHING,
    ),
    "bucket_closed": (
        "Kili's bucket takes no uploads. Uploads are put off, everything else goes on; logged once",
        NOTHING,
    ),
    "bucket_resumed": ("Kili's bucket takes uploads again", NOTHING),
    "call_failed": (
        "a call to Kili failed and its outcome is counted; at the level ERROR our own code failed "
        "in the call, and the "
        "predictions that cause it become dead letters `worker_fault`",
        "at ERROR: report it with the log",
    ),
    "call_not_counted": ("a call could not be counted, because Redis did not answer", NOTHING),
    "counts_wait": ("what the review policy has counted is stored later, because Redis did not answer", NOTHING),
    "dead_letters_expired": ("announced dead letters were dropped, with their number", NOTHING),
    "dead_letters_expiring": (
        "the oldest dead letters will be dropped: how many, when and why",
        "replay or drop them, or raise the limit",
    ),
    "dead_lettered": ("predictions of a wave became dead letters", "`dead-letters list`"),
    "delivery_resumed": ("the scheduler can read Redis again", NOTHING),
    "delivery_waits": ("the scheduler cannot read Redis", "bring Redis back"),
    "doors_closed": (
        "intake is paused: `WORKER_INTAKE__MAX_WAITING` predictions wait; messages stay in the broker",
        "wait, or start more workers",
    ),
    "doors_open": ("intake goes on after a pause", NOTHING),
    "drain_limit": (
        "the drain took longer than `WORKER_DELIVERY__DRAIN_SECONDS`; the line says what remained",
        "nothing; other workers deliver it",
    ),
    "drained": ("the drain is over; the line says what remained", "nothing; other workers deliver it"),
    "draining": ("SIGTERM or SIGINT: the worker finishes what is in flight", NOTHING),
    "drift_alarm": (
        "a model version drifts: which detector, since when, from which value to which",
        "`report --html`, then `report --acknowledge ID`",
    ),
    "ended_at_once": (
        "a second signal, or SIGQUIT: the worker ended without a drain",
        "nothing; leases expire and other workers deliver",
    ),
    "feedback_failed": ("our own code failed while it collected a project's labels", REPORT),
    "feedback_resumed": ("a project's labels can be read again", NOTHING),
    "feedback_waits": (
        "a project's labels cannot be read, or a webhook could not be noted; logged once. Delivery goes on",
        "read the error",
    ),
    "export_left_out": (
        "an export leaves out assets whose labels lie in files that cannot be read",
        "export again when they can be read",
    ),
    "fetch_failed": (
        "our own code failed with a result that lies elsewhere; the item is a dead letter",
        REPORT,
    ),
    "figures_resumed": ("the exporter can read Redis again", NOTHING),
    "figures_wait": ("the exporter cannot read Redis", "bring Redis back"),
    "format_not_loaded": (
        "a format of another package cannot be loaded; all other formats work",
        "`formats list` names the error",
    ),
    "heartbeat_failed": (
        "the heartbeat file cannot be written or removed; logged once a minute",
        "make room on the disk, or set `WORKER_HEARTBEAT_FILE`",
    ),
    "housekeeping_waits": (
        "expired dead letters and silent projects are looked for later, because Redis did not answer",
        NOTHING,
    ),
    "http_failed": (
        "a request to `/metrics`, `/livez` or `/readyz` was not answered; at DEBUG the client went away",
        "at ERROR: report it with the log",
    ),
    "http_listening": ("metrics and probes are served; the line has the address", NOTHING),
    "http_not_listening": (
        "the address of metrics and probes is in use; the worker goes on and tries again",
        "give each worker of a machine a port of its own, or a range",
    ),
    "http_request": ("a request to the metrics and probes", NOTHING),
    "import_not_asked": (
        "the state of an import in the background cannot be read; it is read again, and the asset is looked for",
        NOTHING,
    ),
    "inbox_recovered": ("entries that a dead worker had taken were taken over", NOTHING),
    "intake_resumed": ("intake can reach Redis or the broker again", NOTHING),
    "intake_waits": ("intake cannot reach Redis or the broker", "bring it back"),
    "interface_changed": (
        "a project's interface has changed: which jobs and categories are gone, new or different",
        "check that producers send only what is left; `dead-letters replay` after a correction",
    ),
    "kafka_assigned": ("the consumer group gave this worker partitions", NOTHING),
    "kafka_revoked": ("the consumer group took partitions from this worker", NOTHING),
    "knock": ("a request to the webhook receiver", NOTHING),
    "label_files_given_up": (
        "labels in files that could not be read in five collection cycles are left out",
        "read the error of `label_files_unread`",
    ),
    "label_files_unread": (
        "labels in files cannot be read now; they are read again in the next collection cycles",
        "allow the host in `WORKER_FEEDBACK__LABEL_HOSTS`, or find out what Kili lost",
    ),
    "labels_gone": ("labels are no longer in Kili; their verdicts are removed", NOTHING),
    "lease_lost": (
        "the lock of a project was lost during a wave; another worker sends what is open",
        "look for pauses of the process or of Redis",
    ),
    "written_late": (
        "a worker stood still for longer than `WORKER_SPOOL__LATE_WRITE_SECONDS`, and its calls may have overwritten "
        "newer predictions; `assets` names them",
        "look for pauses of the process; send the newest predictions of these assets again",
    ),
    "lease_not_renewed": (
        "the lock of a project could not be renewed, because Redis did not answer",
        "bring Redis back if it goes on",
    ),
    "letters_failed": (
        "our own code failed while the page replayed or dropped dead letters; the rest is untouched",
        REPORT,
    ),
    "listening": ("the HTTP source is ready", NOTHING),
    "log_lines_lost": (
        "so many lines before this one could not be written",
        "look at what reads the log, or at its disk",
    ),
    "logged_in": ("a user logged in to the operator's page", NOTHING),
    "login_refused": (
        "a login to the operator's page had a wrong token",
        "if it was not you: look at the address in the line",
    ),
    "message_not_understood": (
        "our own code failed on a message; the message is a dead letter",
        "report it with the log; replay it after an update",
    ),
    "not_said": ("Celery could not print a line to a terminal that is gone", NOTHING),
    "one_document_refused": (
        "Kili does not take the mutations of a batch in one document; the calls are sent one by one; logged once",
        "nothing, it is tried again after ten minutes; or turn `WORKER_DELIVERY__ONE_DOCUMENT` off",
    ),
    "operator_acted": ("a user acted on the operator's page: who, what and with which result", NOTHING),
    "pause_left": ("the pause of a worker that ends could not be removed; it expires by itself", NOTHING),
    "paused": (
        "a project, the endpoint or this worker is paused; logged once. Nothing is lost, a probe is "
        "sent until it goes on",
        "read the reason; `status` and `waiting list` show it too",
    ),
    "policy_changed": ("a changed policy file is in force", NOTHING),
    "policy_failed": (
        "the review policy failed on several predictions and gets them one by one; one that fails "
        "alone is a dead letter",
        REPORT,
    ),
    "policy_refused": (
        "a changed policy file is wrong; the earlier policy stays in force",
        "correct what the line names",
    ),
    "pool_not_counted": (
        "Celery's pool forks, so `/metrics` lacks what the forked processes deliver",
        "host the worker with the pool `threads`",
    ),
    "presence_left": ("a process that ends could not remove itself from the list of processes; it expires", NOTHING),
    "presence_waits": ("a process could not renew its entry in the list of processes, because Redis failed", NOTHING),
    "prepare_failed": (
        "our own code failed while it prepared a prediction; the prediction is a dead letter",
        REPORT,
    ),
    "project_forgotten": (
        "no prediction came for a project for `WORKER_SPOOL__PROJECT_DAYS`; its keys are removed",
        NOTHING,
    ),
    "projects_file_read": ("a changed projects file is in force", NOTHING),
    "projects_file_wrong": (
        "a changed projects file is wrong; the earlier one stays in force",
        "correct what the line names",
    ),
    "redis_replaced": (
        "Redis was emptied, or replaced by a server that knows less",
        "find out why; send again what is missing, sending twice does no harm",
    ),
    "resumed": ("what was paused goes on", NOTHING),
    "rows_unreadable": ("some rows of Kili's answer cannot be read and are left out", REPORT),
    "secrets_file_read": ("a changed `WORKER_SERVE__SECRETS_FILE` is in force", NOTHING),
    "secrets_file_wrong": (
        "a changed `WORKER_SERVE__SECRETS_FILE` is wrong; the earlier one stays in force",
        "correct the line that is named",
    ),
    "source_failed": (
        "a source cannot receive from its server; logged once",
        "read the error; what is not acknowledged comes again",
    ),
    "source_given_back": (
        "intake was paused for ten minutes, so a source returned its messages to RabbitMQ",
        NOTHING,
    ),
    "source_resumed": ("a source receives again", NOTHING),
    "source_waits": ("messages of a source are stored later, because the inbox took none", NOTHING),
    "started": ("the worker has started; the line has version and process id", NOTHING),
    "thread_failed": (
        "our own code failed in a thread; the thread starts again after a second",
        REPORT,
    ),
    "verdict_unreadable": (
        "a human label cannot be compared with the prediction; it is left out",
        REPORT,
    ),
    "watch_waits": ("whether Redis was replaced is checked later, because Redis did not answer", NOTHING),
    "wave": ("a wave was settled, with the number of each outcome", NOTHING),
    "wave_ended": ("a wave ended early because Redis did not answer; what is open waits again", "bring Redis back"),
    "wave_failed": ("our own code failed in a wave; what is open waits again", REPORT),
    "webhook_failed": (
        "the receiver of drift alarms rejected a notification; it is sent again after the next report data",
        "mend the receiver",
    ),
    "written_not_remembered": ("what was written to Kili could not be noted, because Redis did not answer", NOTHING),
}
"""What each action means, and what to do about it."""


@dataclass(slots=True)
class Use:
    """Where an action is logged."""

    levels: set[str] = field(default_factory=set)
    modules: set[str] = field(default_factory=set)


def page() -> str:
    """The whole page; raises KeyError for an action without a meaning."""
    rows = [_row(action, use) for action, use in sorted(found().items())]
    return f"{HEAD}\n| action | level | meaning | what to do | module |\n|---|---|---|---|---|\n" + "\n".join(rows)


@cache
def found() -> dict[str, Use]:
    """Every action in the code of the worker, the local Kili left out."""
    uses: dict[str, Use] = defaultdict(Use)
    for path in sorted((ROOT / "worker").rglob("*.py")):
        module = path.relative_to(ROOT / "worker")
        if module.parts[0] in ("sandbox", "demo"):
            continue
        text = path.read_text("utf-8")
        for action, levels in _in_module(ast.parse(text)) if "action" in text else ():
            uses[action].levels |= levels
            uses[action].modules.add(str(module))
    return uses


def _row(action: str, use: Use) -> str:
    meaning, remedy = ACTIONS[action]
    levels = ", ".join(level.upper() for level in LEVELS if level in use.levels)
    modules = ", ".join(f"`{module}`" for module in sorted(use.modules))
    return f"| `{action}` | {levels} | {meaning} | {remedy} | {modules} |"


def _in_module(tree: ast.Module) -> Iterator[tuple[str, set[str]]]:
    yield from _on_records(tree)
    for function in ast.walk(tree):
        if isinstance(function, Function):
            yield from _in_function(tree, function)


def _on_records(tree: ast.Module) -> Iterator[tuple[str, set[str]]]:
    """``record.action = "…"``: a line that the log writes about itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and _attribute_of(node.targets[0], "record") == "action":
            yield from ((action, {"warning"}) for action in _texts(node.value))


def _in_function(tree: ast.Module, function: Function) -> Iterator[tuple[str, set[str]]]:
    calls = [node for node in _own_nodes(function) if isinstance(node, ast.Call) and _levels(node, function)]
    direct = {id(given): _levels(call, function) for call in calls for given in _dicts(call)}
    named = {
        id(node.value): node.targets[0].id
        for node in _own_nodes(function)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for node in _own_nodes(function):
        value = _action_of(node) if isinstance(node, ast.Dict) else None
        if value is None:
            continue
        levels = (
            direct[id(node)]
            if id(node) in direct
            else _levels_of(named.get(id(node), ""), node.lineno, calls, function)
        )
        if levels:
            yield from ((action, levels) for action in _values(tree, function, value))


def _values(tree: ast.Module, function: Function, value: ast.expr) -> Iterator[str]:
    """The texts that a value may be; for a parameter, what callers in the module give for it."""
    parameters = [one.arg for one in function.args.args if one.arg != "self"]
    if isinstance(value, ast.Name) and value.id in parameters:
        place = parameters.index(value.id)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == function.name:
                yield from _texts(node.args[place])
    else:
        yield from _texts(value)


def _levels_of(name: str, line: int, calls: list[ast.Call], function: Function) -> set[str]:
    """Levels of the next call that passes on the dictionary of this name, and says no action of its own."""
    for call in sorted(calls, key=lambda one: one.lineno):
        extra = next((one.value for one in call.keywords if one.arg == "extra"), None)
        if call.lineno < line or extra is None or (isinstance(extra, ast.Dict) and _action_of(extra) is not None):
            continue
        if any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(extra)):
            return _levels(call, function)
    return set()


def _own_nodes(function: Function) -> Iterator[ast.AST]:
    """The nodes of a function, without those of functions inside it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, Function):
            waiting += ast.iter_child_nodes(node)


def _attribute_of(node: ast.expr, owner: str) -> str:
    """The attribute that ``owner.attribute`` names; empty for anything else."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == owner:
        return node.attr
    return ""


def _dicts(call: ast.Call) -> Iterator[ast.Dict]:
    return (node for node in ast.walk(call) if isinstance(node, ast.Dict))


def _action_of(node: ast.Dict) -> ast.expr | None:
    keys = (key.value if isinstance(key, ast.Constant) else None for key in node.keys)
    return next((value for key, value in zip(keys, node.values, strict=True) if key == "action"), None)


def _texts(value: ast.expr) -> Iterator[str]:
    return (node.value for node in ast.walk(value) if isinstance(node, ast.Constant) and isinstance(node.value, str))


def _levels(call: ast.Call, function: Function) -> set[str]:
    """The levels that a call logs at, if it logs; for ``logger.log`` those that its function names."""
    method = _attribute_of(call.func, "logger")
    if method == "log":
        named = (node.attr.lower() for node in ast.walk(function) if isinstance(node, ast.Attribute))
        return {level for level in named if level in LEVELS}
    return {"error"} if method == "exception" else {method} & set(LEVELS)
