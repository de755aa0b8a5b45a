"""``prediction-worker demo`` and ``sandbox``: the whole loop, or the local Kili alone, on this machine."""

from __future__ import annotations

import importlib.util
import json
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
from worker.sandbox.process import DEFAULT_API_KEY, ConfigError, SandboxConfig

if TYPE_CHECKING:
    from worker.demo.environment import DemoEnvironment
    from worker.demo.outcome import DemoResult


LEAST, MOST = 36, 3360
REPORT = "demo-report.html"
FILE = OutputFile()
EXTRAS = ("graphql", "starlette", "uvicorn")
INTERRUPTED = 130
TERMINATED = 143


def _option(prefix: str, *names: str, **settings: Any) -> Callable[[Any], Any]:
    """An option that an environment variable <PREFIX>_<NAME> can set as well."""
    variable = f"{prefix}_{names[0].removeprefix('--').replace('-', '_').upper()}"
    return click.option(*names, envvar=variable, show_envvar=True, show_default=True, **settings)


demo_option = partial(_option, "PREDICTION_WORKER_DEMO")
sandbox_option = partial(_option, "SANDBOX")


@click.command()
@demo_option("--json", "as_json", is_flag=True, help="Print the result as JSON; progress stays on standard error.")
@demo_option("--keep", is_flag=True, help="Leave everything running until Ctrl-C, and say how to connect.")
@demo_option("--predictions", type=click.IntRange(LEAST, MOST), default=MOST, help="How many to send.")
@demo_option("--seed", default=0, help="Another seed gives other pictures, mistakes and audits.")
@demo_option("--html", type=FILE, default=REPORT, help="Where the report's page is written to.")
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


#: The id of the project that --demo-project makes.
DEMO_PROJECT = "demo-project"
DEMO = """
Demo project: {project} (job {job}: {question})

Try it in another terminal, with a Redis at REDIS_URL:

  export KILI_API_KEY={key} KILI_API_ENDPOINT={endpoint}
  prediction-worker start &
  echo '{prediction}' | prediction-worker publish -
  curl '{admin}/state?project={project}&full=1'
"""

SECONDS = click.FloatRange(min=0)


@click.command("sandbox")
@sandbox_option("--port", type=click.IntRange(0, 65535), default=8765, help="Where to listen; 0 for any free port.")
@sandbox_option("--port-file", type=click.Path(dir_okay=False, path_type=Path), help="Write the real port here.")
@sandbox_option("--host", default="127.0.0.1", help="Address to listen on.")
@sandbox_option("--expose", is_flag=True, help="Allow an address that other machines can reach.")
@sandbox_option("--api-key", "api_keys", multiple=True, default=[DEFAULT_API_KEY], help="A key to accept; repeatable.")
@sandbox_option(
    "--faults",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON file with fault rules.",
)
@sandbox_option("--files", type=click.Path(exists=True, file_okay=False), help="Directory to serve under /files/.")
@sandbox_option(
    "--agreement",
    type=click.Choice(["tutorial", "documented"]),
    default="tutorial",
    help="Mark of two answers with overlap J: (1 + J) / 2 or J.",
)
@sandbox_option("--mark-delay", type=SECONDS, default=0.0, help="Seconds until marks appear.")
@sandbox_option(
    "--resent-id",
    type=click.Choice(["upsert", "refuse"]),
    default="upsert",
    help="What happens to an asset whose id exists already.",
)
@sandbox_option(
    "--batches",
    type=click.Choice(["atomic", "partial"]),
    default="atomic",
    help="Whether a refused batch leaves nothing or its good items.",
)
@sandbox_option(
    "--validation",
    type=click.Choice(["strict", "lenient"]),
    default="strict",
    help="Hold labels to every known rule, or to the names of jobs and categories only.",
)
@sandbox_option(
    "--open-jobs",
    type=click.Choice(["refuse", "accept"]),
    default="refuse",
    help="What happens to a prediction that leaves a required job open.",
)
@sandbox_option(
    "--imports",
    type=click.Choice(["lenient", "strict"]),
    default="lenient",
    help="Take imports of any form, or only as Kili's SDK sends them.",
)
@sandbox_option(
    "--label-json",
    type=click.Choice(["inline", "url"]),
    default="inline",
    help="Answer labels in jsonResponse, or in a file behind jsonResponseUrl.",
)
@sandbox_option(
    "--mutations",
    type=click.Choice(["many", "one"]),
    default="many",
    help="How many mutations a document may hold.",
)
@sandbox_option("--read-lag", type=SECONDS, default=0.0, help="Queries see the state of so many seconds ago.")
@sandbox_option("--calls-per-minute", type=click.IntRange(min=0), default=0, help="Limit per key; 0 for none.")
@sandbox_option("--latency", type=SECONDS, default=0.0, help="Seconds added to every call.")
@click.option("--demo-project", is_flag=True, help="Start with a project to try things in, and say how.")
@sandbox_option("--seed", type=int, default=0, help="Seed of everything random.")
def sandbox(faults: Path | None, port_file: Path | None, demo_project: bool, **options: Any) -> None:
    """Run a local Kili: the part of its API that uploads, reviews and reads back predictions."""
    serve, check_faults = _load()
    try:
        config = SandboxConfig(
            faults=_read_faults(faults, check_faults),
            port_file=str(port_file) if port_file else None,
            **options,
        )
        projects = {DEMO_PROJECT: _demo_project()} if demo_project else {}
        serve(config, announce=lambda endpoint: _announce(endpoint, config, projects), projects=projects)
    except ConfigError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"cannot listen on {options['host']}:{options['port']}: {error}") from error


def _demo_project() -> dict[str, Any]:
    from worker.demo.environment import interface

    return {"title": "Digits", "inputType": "IMAGE", "jsonInterface": json.dumps(interface())}


def _announce(endpoint: str, config: SandboxConfig, projects: dict[str, dict[str, Any]]) -> None:
    click.echo(f"Kili sandbox: {endpoint}")
    for anywhere in ("//0.0.0.0:", "//[::]:"):
        endpoint = endpoint.replace(anywhere, "//127.0.0.1:")
    for project_id, data in projects.items():
        job_name, job = next(iter(json.loads(data["jsonInterface"])["jobs"].items()))
        prediction = {
            "project_id": project_id,
            "external_id": "digit-1.png",
            "asset": {"url": "https://example.com/digit-1.png"},
            "model": {"name": "digits", "version": "1"},
            "output": {"scores": dict(zip(job["content"]["categories"], (0.61, 0.3, 0.09), strict=False))},
            "predicted_at": "2026-11-23T10:15:00Z",
        }
        click.echo(
            DEMO.format(
                project=project_id,
                job=job_name,
                question=job["instruction"],
                key=config.api_keys[0],
                endpoint=endpoint,
                prediction=json.dumps(prediction),
                admin=f"{endpoint.partition('/api/')[0]}/sandbox",
            )
        )


def _load() -> tuple[Callable[..., None], Callable[[Any], object]]:
    try:
        from worker.sandbox.faults import Script
        from worker.sandbox.server import serve
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"{error.name} is missing; install the extra: pip install 'kili-prediction-worker[sandbox]'"
        ) from error
    return serve, Script


def _read_faults(path: Path | None, check: Callable[[Any], object]) -> tuple[dict[str, Any], ...]:
    if path is None:
        return ()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        check(content)
    except (ValueError, RecursionError) as error:
        raise click.ClickException(f"--faults: {path}: {error}") from error
    return tuple(content.get("faults", [content]) if isinstance(content, dict) else content)
