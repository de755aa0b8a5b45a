"""The same cases for every source."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.sources.worlds import WORLDS, World, opened
from tests.guarantees import PROPERTY


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One form of each case for each source; a source whose server is not here is skipped by name."""
    if "world_class" in metafunc.fixturenames:
        skip = {world: pytest.mark.skip(reason=f"{world.__name__}: {world.absent}") for world in WORLDS if world.absent}
        found = [pytest.param(one, id=one.__name__, marks=skip.get(one, ())) for one in WORLDS]
        metafunc.parametrize("world_class", found, scope="module", indirect=True)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A source whose server is not here proves nothing, and disproves nothing."""
    for item in items:
        kind = getattr(getattr(item, "callspec", None), "params", {}).get("world_class")
        kind = kind or getattr(getattr(item, "module", None), "SOURCE", None)
        if isinstance(kind, type) and issubclass(kind, World) and kind.absent:
            item.user_properties[:] = [one for one in item.user_properties if one[0] != PROPERTY]


@pytest.fixture(scope="module")
def world_class(request: pytest.FixtureRequest) -> type[World]:
    """The source of a case."""
    kind: type[World] = request.param
    return kind


@pytest.fixture(scope="module")
def shared(world_class: type[World]) -> Iterator[World]:
    """One house for the cases of a source."""
    with opened(world_class) as world:
        world.start()
        yield world


@pytest.fixture
def world(shared: World) -> World:
    """The house, with a worker that runs."""
    shared.house.begin_case()
    return shared


@pytest.fixture(autouse=True)
def _calm() -> None:
    """No SDK here."""
