"""`prediction-worker sandbox`: run the local Kili."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from worker.sandbox.process import DEFAULT_API_KEY, ConfigError, SandboxConfig

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


def option(*names: str, **settings: Any) -> Callable[[Any], Any]:
    """Declare an option that an environment variable SANDBOX_<NAME> can set as well."""
    variable = f"SANDBOX_{names[0].removeprefix('--').replace('-', '_').upper()}"
    return click.option(*names, envvar=variable, show_envvar=True, show_default=True, **settings)


@click.command("sandbox")
@option("--port", type=click.IntRange(0, 65535), default=8765, help="Where to listen; 0 for any free port.")
@option("--port-file", type=click.Path(dir_okay=False, path_type=Path), help="Write the real port here.")
@option("--host", default="127.0.0.1", help="Address to listen on.")
@option("--expose", is_flag=True, help="Allow an address that other machines can reach.")
@option("--api-key", "api_keys", multiple=True, default=[DEFAULT_API_KEY], help="A key to accept; repeatable.")
@option(
    "--faults",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON file with fault rules.",
)
@option("--files", type=click.Path(exists=True, file_okay=False), help="Directory to serve under /files/.")
@option(
    "--agreement",
    type=click.Choice(["tutorial", "documented"]),
    default="tutorial",
    help="Mark of two answers with overlap J: (1 + J) / 2 or J.",
)
@option("--mark-delay", type=SECONDS, default=0.0, help="Seconds until marks appear.")
@option(
    "--resent-id",
    type=click.Choice(["upsert", "refuse"]),
    default="upsert",
    help="What happens to an asset whose id exists already.",
)
@option(
    "--batches",
    type=click.Choice(["atomic", "partial"]),
    default="atomic",
    help="Whether a refused batch leaves nothing or its good items.",
)
@option(
    "--validation",
    type=click.Choice(["strict", "lenient"]),
    default="strict",
    help="Hold labels to every known rule, or to the names of jobs and categories only.",
)
@option(
    "--open-jobs",
    type=click.Choice(["refuse", "accept"]),
    default="refuse",
    help="What happens to a prediction that leaves a required job open.",
)
@option(
    "--imports",
    type=click.Choice(["lenient", "strict"]),
    default="lenient",
    help="Take imports of any form, or only as Kili's SDK sends them.",
)
@option(
    "--label-json",
    type=click.Choice(["inline", "url"]),
    default="inline",
    help="Answer labels in jsonResponse, or in a file behind jsonResponseUrl.",
)
@option(
    "--mutations",
    type=click.Choice(["many", "one"]),
    default="many",
    help="How many mutations a document may hold.",
)
@option("--read-lag", type=SECONDS, default=0.0, help="Queries see the state of so many seconds ago.")
@option("--calls-per-minute", type=click.IntRange(min=0), default=0, help="Limit per key; 0 for none.")
@option("--latency", type=SECONDS, default=0.0, help="Seconds added to every call.")
@click.option("--demo-project", is_flag=True, help="Start with a project to try things in, and say how.")
@option("--seed", type=int, default=0, help="Seed of everything random.")
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
