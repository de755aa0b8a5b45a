"""The image and the compose file agree with the command line, the settings and the documented installation."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import pytest
import yaml

from worker.settings.tree import Settings, environment_names

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
LOCAL = yaml.safe_load((ROOT / "docker-compose.sandbox.yml").read_text())
OURS = {
    f"{project['name']}/{name}": service
    for project in (COMPOSE, LOCAL)
    for name, service in project["services"].items()
    if "build" in service
}
SANDBOX = LOCAL["services"]["sandbox"]

Stage = list[tuple[str, str]]


def read_dockerfile() -> dict[str, Stage]:
    """The (instruction, rest) pairs of each stage, those of the stage it builds on first."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = [line.split(None, 1) for line in re.sub(r"\\\n\s*", "", text).splitlines() if line.strip()]
    stages: dict[str, Stage] = {}
    current: Stage = []
    for instruction, rest in lines:
        if instruction == "FROM":
            base, name = re.split(r"\s+AS\s+", rest)
            current = stages[name] = list(stages.get(base, []))
        current.append((instruction, rest))
    return stages


STAGES = read_dockerfile()
TARGETS = ["worker", "sandbox"]


def values(stage: str, instruction: str) -> list[str]:
    return [rest for name, rest in STAGES[stage] if name == instruction]


def command_line(text: str) -> list[str]:
    """An instruction's command in its exec form."""
    parsed = yaml.safe_load(text)
    assert isinstance(parsed, list), f"not in exec form: {text}"
    return parsed


def parse(arguments: list[str]) -> click.Context:
    """Parse as the command line does, without running; fails on unknown commands and options."""
    from worker.cli import main

    with main.make_context("prediction-worker", list(arguments)) as parent:
        name, command, rest = main.resolve_command(parent, list(arguments))
        assert command is not None
        return command.make_context(name, rest, parent=parent)


def seconds(duration: str) -> float:
    found = re.fullmatch(r"(\d+)s", duration)
    assert found, f"not in seconds: {duration}"
    return float(found[1])


@pytest.mark.parametrize("service", OURS)
def test_each_services_command_is_understood(service: str) -> None:
    command = OURS[service]["command"]
    if "--html" not in command:  # a path of the container
        parse(command)


@pytest.mark.parametrize("target", TARGETS)
def test_each_images_own_command_is_understood(target: str) -> None:
    assert command_line(values(target, "ENTRYPOINT")[-1]) == ["tini", "--", *PROJECT["scripts"]]
    parse(command_line(values(target, "CMD")[-1]))


@pytest.mark.parametrize("service", OURS)
def test_each_service_is_built_from_a_target_that_exists(service: str) -> None:
    assert OURS[service]["build"]["target"] in TARGETS


def test_every_environment_name_is_a_setting() -> None:
    names = {name for service in OURS.values() for name in service.get("environment", {})}

    assert names >= {"KILI_API_KEY", "KILI_API_ENDPOINT", "REDIS_URL"}
    assert names <= environment_names()


@pytest.mark.parametrize("project", [COMPOSE, LOCAL], ids=lambda project: project["name"])
def test_the_worker_is_given_longer_to_stop_than_it_needs_to_drain(project: dict[str, Any]) -> None:
    grace = seconds(project["services"]["worker"]["stop_grace_period"])

    assert grace >= Settings.model_fields["delivery"].get_default(call_default_factory=True).drain_seconds + 10


def test_the_worker_waits_for_redis_and_is_restarted() -> None:
    worker = COMPOSE["services"]["worker"]

    assert worker["depends_on"] == {"redis": {"condition": "service_healthy"}}
    assert worker["restart"] == "unless-stopped"
    assert worker["environment"]["REDIS_URL"].startswith("redis://redis:")


def test_redis_keeps_its_data_and_evicts_nothing() -> None:
    redis = COMPOSE["services"]["redis"]
    flags = dict(zip(redis["command"][1::2], redis["command"][2::2], strict=True))

    assert flags == {
        "--appendonly": "yes",
        "--appendfsync": "everysec",
        "--save": "",
        "--maxmemory-policy": "noeviction",
    }
    assert [volume.split(":")[0] for volume in redis["volumes"]] == list(COMPOSE["volumes"])
    assert redis["healthcheck"]["test"][0] == "CMD"


@pytest.mark.guarantee(
    "Security",
    fault="a worker taken over from inside",
)
@pytest.mark.parametrize("service", OURS)
def test_our_containers_cannot_write_or_gain_rights(service: str) -> None:
    settings: dict[str, Any] = OURS[service]

    assert settings["read_only"] is True
    assert settings["tmpfs"] == ["/tmp"]
    assert settings["cap_drop"] == ["ALL"]
    assert settings["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("project", [COMPOSE, LOCAL], ids=lambda project: project["name"])
def test_redis_can_be_reached_by_producers_and_nothing_but_loopback_is_published(project: dict[str, Any]) -> None:
    ports = [port for service in project["services"].values() for port in service.get("ports", [])]

    assert all(port.startswith("127.0.0.1:") for port in ports)
    (published,) = [port for port in ports if port.endswith(":6379")]
    assert ":-6379}" in published, "where README's producer looks for it"


def test_production_and_the_local_kili_are_projects_of_their_own() -> None:
    def started(project: dict[str, Any]) -> list[str]:
        return [name for name, service in project["services"].items() if not service.get("profiles")]

    assert started(COMPOSE) == ["redis", "worker"]
    assert list(COMPOSE["services"]) == ["redis", "worker", "gateway"]
    assert started(LOCAL) == ["redis", "sandbox", "worker"], "the demo runs when it is named"
    assert COMPOSE["name"] != LOCAL["name"]
    assert list(STAGES)[-1] == "worker"


def test_the_worker_of_the_local_kili_calls_nobody_else_and_has_its_key() -> None:
    worker, sandbox = LOCAL["services"]["worker"], parse(SANDBOX["command"]).params
    address = urlsplit(worker["environment"]["KILI_API_ENDPOINT"])

    assert (address.hostname, address.port) == ("sandbox", sandbox["port"])
    assert worker["environment"]["KILI_API_KEY"] in sandbox["api_keys"]
    assert "env_file" not in worker, "a real key stays out"
    assert worker["depends_on"]["sandbox"] == {"condition": "service_healthy"}
    assert (sandbox["demo_project"], sandbox["expose"]) == (True, True)


def test_files_reach_the_worker_and_what_is_written_stays() -> None:
    assert "./config:/config:ro" in COMPOSE["services"]["worker"]["volumes"]
    html = parse_paths(LOCAL["services"]["demo"])
    assert html.startswith("/reports/")
    assert "./reports:/reports" in LOCAL["services"]["demo"]["volumes"]
    for folder in ("config", "reports"):
        assert (ROOT / folder / ".gitignore").read_text().startswith("*"), (
            "the folder is the user's, its content private"
        )


def parse_paths(service: dict[str, Any]) -> str:
    command = service["command"]
    return str(command[command.index("--html") + 1])


@pytest.mark.guarantee(
    "Security",
    fault="a worker taken over from inside",
    promise="no root, no writable image, no further rights",
)
@pytest.mark.parametrize("target", TARGETS)
def test_the_images_do_not_run_as_root(target: str) -> None:
    uid, _ = values(target, "USER")[-1].split(":")

    assert int(uid) > 0
    assert values(target, "STOPSIGNAL") == ["SIGTERM"]


def test_the_images_check_their_own_health() -> None:
    worker, sandbox = (values(target, "HEALTHCHECK")[-1] for target in TARGETS)

    parse(command_line(worker.partition("CMD ")[2])[1:])
    assert f":{values('sandbox', 'EXPOSE')[-1]}/version" in sandbox
    assert str(parse(SANDBOX["command"]).params["port"]) == values("sandbox", "EXPOSE")[-1]


def test_the_images_install_as_documented() -> None:
    installs = {line for stage in STAGES for line in values(stage, "RUN") if line.startswith("pip ")}
    extras = {extra for line in installs for found in re.findall(r"\[([a-z,-]+)\]", line) for extra in found.split(",")}

    assert {"scorer", "masks", "yaml", "demo"} <= extras, "what the documentation offers works in the image"
    assert all(line.startswith("pip install -c constraints.txt ") for line in installs)
    assert extras <= set(PROJECT["optional-dependencies"])
    assert "pip install -c constraints.txt" in (ROOT / "Makefile").read_text()


def test_the_build_gets_every_file_that_it_copies() -> None:
    sources = [word for line in values("build", "COPY") for word in line.split()[:-1]]
    let_through = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), flags=re.MULTILINE)

    assert set(sources) == set(let_through)
    assert all((ROOT / source).exists() for source in sources)


def test_the_images_version_is_the_projects() -> None:
    assert f"VERSION={PROJECT['version']}" in values("worker", "ARG")


def test_the_python_of_the_images_is_supported() -> None:
    wanted = tuple(map(int, PROJECT["requires-python"].removeprefix(">=").split(".")))
    (version,) = re.findall(r"^ARG PYTHON=([\d.]+)$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)

    assert tuple(map(int, version.split("."))) >= wanted
