"""``prediction-worker demo``."""

from __future__ import annotations

import importlib.util
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.cli.running import OutputFile, ended_by_signals, fail, print_json

if TYPE_CHECKING:
    from worker.demo.environment import DemoEnvironment
    from worker.demo.outcome import DemoResult

LEAST, MOST = 36, 3360
REPORT = "demo-report.html"
FILE = OutputFile()
EXTRAS = ("graphql", "starlette", "uvicorn")
INTERRUPTED = 130
TERMINATED = 143


def option(*names: str, **settings: Any) -> Callable[[Any], Any]:
    """An option that PREDICTION_WORKER_DEMO_<NAME> can set as well."""
    variable = f"PREDICTION_WORKER_DEMO_{names[0].removeprefix('--').upper()}"
    return click.option(*names, envvar=variable, show_envvar=True, **settings)


@click.command()
@option("--json", "as_json", is_flag=True, help="Print the result as JSON; progress stays on standard error.")
@option("--keep", is_flag=True, help="Leave everything running until Ctrl-C, and say how to connect.")
@option("--predictions", type=click.IntRange(LEAST, MOST), default=MOST, show_default=True, help="How many to send.")
@option("--seed", default=0, show_default=True, help="Another seed gives other pictures, mistakes and audits.")
@option("--html", type=FILE, default=REPORT, show_default=True, help="Where the report's page is written to.")
def demo(as_json: bool, keep: bool, predictions: int, seed: int, html: Path) -> None:
    """Run the whole loop on this machine: a real Redis, a real worker, a local Kili; no network.

    Predictions of trained models go through both default sources. Simulated labelers label a quarter of them in the
    order of Kili's queue, the worker learns from their labels, and half way one model's pictures change. A table
    compares the result with the truth; a page shows the report. Only the page is left on disk. Fails when an assertion
    about delivery does not hold.
    """
    missing = [name for name in EXTRAS if importlib.util.find_spec(name) is None]
    if missing:
        fail(f"{missing[0]} is missing; install the extra: pip install 'kili-prediction-worker[demo]'")
    with _orderly_end(keep):
        _run(as_json, keep, predictions, seed, html)


def _run(as_json: bool, keep: bool, predictions: int, seed: int, html: Path) -> None:
    import httpx
    import redis

    from worker.demo.display import DemoProgress
    from worker.demo.environment import demo_environment
    from worker.demo.plan import load_digits, make_plan
    from worker.demo.run import play, policy_text

    begun = time.monotonic()
    progress = DemoProgress(click.get_text_stream("stderr"))
    plan = make_plan(load_digits(), predictions, seed=seed)
    pictures = {one.external_id: one.image for one in plan.predictions}
    try:
        with demo_environment(pictures, policy_text(seed), progress) as parts:
            project, outcome = play(parts, plan, seed, html, progress)
            seconds = time.monotonic() - begun
            _report(outcome, seconds, html, as_json, _connection(parts, project) if keep else {})
            if outcome.broken_promises:
                progress.write_line(f"the worker's log ends:\n{parts.worker.tail()}")
            if keep:
                _wait(parts, project)
    except (RuntimeError, redis.RedisError, httpx.HTTPError) as error:
        fail(f"the demo cannot go on: {error}")
    if outcome.broken_promises:
        raise SystemExit(1)


def _report(outcome: DemoResult, seconds: float, html: Path, as_json: bool, connection: dict[str, Any]) -> None:
    from worker.demo.display import table

    if as_json:
        print_json({**asdict(outcome), "seconds": round(seconds, 1), "report": str(html), **connection})
        return
    blocks = "utf" in (sys.stdout.encoding or "").lower()
    click.echo(f"\n{table(outcome, blocks=blocks)}\n\nReport: {html}\nTook {seconds:.1f} s.")
    if not connection:
        click.echo(f"\n{_look_next()}")


def _look_next() -> str:
    command = _command()
    rows = (
        (f"{command} demo --keep", "left running, to look around"),
        (f"{command} explain FILE", "what becomes of your message"),
        (f"{command} schema", "what a message may hold"),
        (f"{command} check", "with your Redis and Kili"),
    )
    width = max(len(call) for call, _ in rows)
    return "\n".join(["Look next", *(f"  {call:<{width}}   {message}" for call, message in rows)])


def _connection(parts: DemoEnvironment, project: str) -> dict[str, Any]:
    return {
        "project": project,
        "environment": dict(parts.environment),
        "sandbox": parts.sandbox.base_url,
        "log": str(parts.worker.log),
        "pids": {"worker": parts.worker.pid, "sandbox": parts.sandbox.pid},
    }


def _wait(parts: DemoEnvironment, project: str) -> None:
    """Say how to connect, and wait for Ctrl-C. Raises RuntimeError when the worker ends by itself."""
    command = _command()
    exports = [f"  export {name}={value}" for name, value in parts.environment.items()]
    lines = [
        "",
        "Everything is still running. In another terminal:",
        "",
        *exports,
        "",
        f"  {command} status",
        f"  {command} report",
        f"  {command} dead-letters list",
        f"  curl '{parts.sandbox.admin_url}/queue?project={project}&first=5'",
        "",
        f"  state     {parts.sandbox.admin_url}/state?project={project}",
        f"  picture   {parts.files_url}/digit-0000.png",
        f"  log       {parts.worker.log}",
        "",
        "Ctrl-C stops everything and removes its files.",
    ]
    click.echo("\n".join(lines), err=True)
    while parts.worker.process.poll() is None:
        time.sleep(0.5)
    raise RuntimeError("the worker has ended")


def _command() -> str:
    """How this command can be called again from here."""
    if shutil.which("prediction-worker"):
        return "prediction-worker"
    beside = Path(sys.executable).with_name("prediction-worker")
    if not beside.exists():
        return "python -m worker"
    here = Path.cwd()
    return str(beside.relative_to(here)) if beside.is_relative_to(here) else str(beside)


@contextmanager
def _orderly_end(keep: bool) -> Iterator[None]:
    """Let SIGTERM and a closed terminal unwind the stack as Ctrl-C does; Ctrl-C is how a kept demo ends."""
    with ended_by_signals(partial(sys.exit, TERMINATED), (signal.SIGTERM, signal.SIGHUP)):
        try:
            yield
        except KeyboardInterrupt:
            click.echo("\nstopped, nothing is left over", err=True)
            raise SystemExit(0 if keep else INTERRUPTED) from None
