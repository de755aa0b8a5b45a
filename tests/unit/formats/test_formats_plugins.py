"""Formats of other packages, found by entry point."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from worker.formats import FAMILIES, ReadOptions, read_payload, registry
from worker.formats.registry import GROUP, Plugins, load_plugins

EXAMPLE = Path(__file__).parents[3] / "examples/plugin"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> EntryPoint:
    """The entry point that the example package registers."""
    import tomllib

    monkeypatch.syspath_prepend(str(EXAMPLE))
    monkeypatch.delitem(sys.modules, "warehouse_format", raising=False)
    tables = tomllib.loads((EXAMPLE / "pyproject.toml").read_text("utf-8"))
    [(name, value)] = tables["project"]["entry-points"][GROUP].items()
    return EntryPoint(name, value, GROUP)


@pytest.fixture
def installed(example: EntryPoint, monkeypatch: pytest.MonkeyPatch) -> Plugins:
    """The registry as it is where the example package is installed."""
    loaded = load_plugins([example], FAMILIES)
    monkeypatch.setattr(registry, "plugins", lambda: loaded)
    _forget()
    yield loaded
    _forget()


def _forget() -> None:
    registry.answers.cache_clear()
    registry._code.cache_clear()


def test_the_example_package_brings_a_format(example: EntryPoint) -> None:
    loaded = load_plugins([example])
    assert [one.name for one in loaded.formats] == ["warehouse"]
    assert loaded.problems == {}


def test_a_payload_of_a_package_s_format_is_recognised_and_can_be_named(installed: Plugins) -> None:
    payload = {"gates": [{"gate": 7, "state": "open"}]}
    assert installed.formats
    for format_name in ("auto", "warehouse"):
        reading = read_payload(payload, ReadOptions(format=format_name))
        assert (reading.format, reading.outputs[0].answer.scores[0].label) == ("warehouse", "open")


def test_a_package_that_cannot_be_loaded_is_told_and_left_out(example: EntryPoint) -> None:
    broken = EntryPoint("broken", "no_such_module:FAMILY", GROUP)
    wrong = EntryPoint("wrong", "json:dumps", GROUP)
    loaded = load_plugins([broken, example, wrong])
    assert [one.name for one in loaded.formats] == ["warehouse"]
    assert "ModuleNotFoundError" in loaded.problems["broken"]
    assert "neither a Family nor an Envelope" in loaded.problems["wrong"]


def test_a_package_cannot_take_the_name_of_another_format(example: EntryPoint) -> None:
    loaded = load_plugins([example], {"warehouse"})
    assert loaded.formats == ()
    assert "there is a format 'warehouse' already" in loaded.problems["warehouse"]
