"""The sandbox as a process: options, start, end, and never an orphan."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest
from click.testing import CliRunner

from worker.cli.local import sandbox as command
from worker.sandbox.process import ConfigError, SandboxConfig, SandboxProcess

PARENT = """
import sys, time
from worker.sandbox.process import SandboxProcess
process = SandboxProcess()
print(process.pid, flush=True)
time.sleep(60)
"""


def wait_until_gone(pid: int, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the sandbox outlives its parent"


def test_a_sandbox_dies_with_a_parent_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        parent.send_signal(signal.SIGKILL)
    wait_until_gone(pid)


def test_stopping_ends_the_child_even_with_connections_open() -> None:
    process = SandboxProcess()
    with httpx.Client() as client:
        client.get(f"{process.admin_url}/state")
        process.stop()
    wait_until_gone(process.pid, 1)


def test_killing_ends_the_child_at_once_and_frees_the_port() -> None:
    process = SandboxProcess()
    port = httpx.URL(process.endpoint).port
    process.kill()
    wait_until_gone(process.pid, 1)
    with SandboxProcess(port=port) as again:
        assert again.endpoint == process.endpoint


def test_a_port_in_use_is_an_error_not_a_hang() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(RuntimeError, match="did not start"):
        SandboxProcess(port=taken.getsockname()[1])


def test_options_reach_the_child(tmp_path: Path) -> None:
    port = tmp_path / "port"
    with SandboxProcess(
        api_keys=("one", "two"), faults=({"action": {"kind": "html"}},), port_file=str(port)
    ) as process:
        assert process.api_key == "one"
        assert port.read_text().strip() == str(httpx.URL(process.endpoint).port)
        answer = httpx.post(process.endpoint, json={}, headers={"Authorization": "X-API-Key: two"})
        assert answer.status_code == 400
        assert httpx.get(f"{process.admin_url}/faults").json()[0]["action"] == {"kind": "html"}


def test_options_survive_as_json() -> None:
    config = SandboxConfig(api_keys=("a", "b"), faults=({"action": {"kind": "reset"}},), read_lag=1.5)
    assert SandboxConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"host": "0.0.0.0"}, "host: 0.0.0.0 is not a loopback address"),
        ({"host": "example.com"}, "--expose"),
        ({"api_keys": ()}, "api_keys"),
        ({"api_keys": ("",)}, "api_keys"),
        ({"port": 70000}, "port: 70000"),
        ({"latency": -1}, "latency: -1"),
        ({"calls_per_minute": True}, "calls_per_minute"),
        ({"agreement": "none"}, "agreement: 'none' is none of tutorial, documented"),
        ({"resent_id": "drop"}, "resent_id"),
    ],
)
def test_options_out_of_range_are_refused_by_name(options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace(".", r"\.")):
        SandboxConfig(**options)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_hosts_are_taken(host: str) -> None:
    assert SandboxConfig(host=host).host == host


def test_a_host_may_be_exposed_on_purpose() -> None:
    assert SandboxConfig(host="0.0.0.0", expose=True).expose


def test_an_unknown_option_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="colour"):
        SandboxConfig.from_json('{"colour": 1}')


def test_the_command_says_where_it_listens_and_obeys_the_environment(tmp_path: Path) -> None:
    faults = tmp_path / "faults.json"
    faults.write_text(json.dumps({"faults": [{"action": {"kind": "delay", "seconds": 0}}]}))
    environment = {
        **os.environ,
        "SANDBOX_PORT": "0",
        "SANDBOX_API_KEY": "first second",
        "SANDBOX_FAULTS": str(faults),
        "SANDBOX_READ_LAG": "1.5",
    }
    code = "from worker.cli.local import sandbox; sandbox()"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        endpoint = child.stdout.readline().split()[-1]
        admin = endpoint.replace("/api/label/v2/graphql", "/sandbox")
        headers = {"Authorization": "X-API-Key: second"}
        viewer = httpx.post(endpoint, json={"query": "{ viewer { id } }"}, headers=headers)
        switches = httpx.get(f"{admin}/config").json()
        rules = httpx.get(f"{admin}/faults").json()
        child.terminate()
    assert viewer.status_code == 200
    assert switches["read_lag"] == 1.5
    assert rules[0]["applied"] == 1


def test_a_project_to_try_things_in_is_there_from_the_start() -> None:
    code = "from worker.cli.local import sandbox; sandbox()"
    command = [sys.executable, "-c", code, "--port", "0", "--demo-project", "--api-key", "mine"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(9)]
        endpoint = lines[0].split()[-1]
        query = 'query { projects(where: {id: "demo-project"}, first: 1, skip: 0) { title jsonInterface } }'
        headers = {"Authorization": "X-API-Key: mine"}
        [project] = httpx.post(endpoint, json={"query": query}, headers=headers).json()["data"]["projects"]
        child.terminate()
    said = "".join(lines)
    assert "Demo project: demo-project" in said
    assert f"export KILI_API_KEY=mine KILI_API_ENDPOINT={endpoint}" in said
    sent = json.loads(said.partition("echo '")[2].partition("'")[0])
    job = next(iter(json.loads(project["jsonInterface"])["jobs"].values()))
    assert sent["project_id"] == "demo-project"
    assert sent["output"]["scores"].keys() <= job["content"]["categories"].keys()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "0.0.0.0"], "add --expose"),
        (["--batches", "some"], "'some' is not one of"),
        (["--read-lag", "-1"], "--read-lag"),
        (["--faults", "{broken}"], "--faults"),
        (["--faults", "{wrong}"], "no such key"),
        (["--port", "{taken}"], "cannot listen"),
    ],
)
def test_the_command_refuses_what_it_cannot_do(tmp_path: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "broken").write_text("{")
    (tmp_path / "wrong").write_text('[{"action": {"kind": "reset"}, "oops": 1}]')
    with socket.create_server(("127.0.0.1", 0)) as taken:
        values = {
            "{broken}": str(tmp_path / "broken"),
            "{wrong}": str(tmp_path / "wrong"),
            "{taken}": str(taken.getsockname()[1]),
        }
        result = CliRunner().invoke(command, [values.get(argument, argument) for argument in arguments])
    assert result.exit_code != 0
    assert words in result.output
