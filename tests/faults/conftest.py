"""Every case runs on the oldest and the newest Redis, each with one house for those that need no settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.house import House
from tests.servers import servers_of, shared_out

HERE = Path(__file__).parent
QUICK = {
    "WORKER_KILI__BACKOFF_SECONDS": "0.02",
    "WORKER_KILI__BACKOFF_CAP_SECONDS": "0.2",
    "WORKER_KILI__RETRY_AFTER_CAP_SECONDS": "1",
    "WORKER_SPOOL__LEASE_SECONDS": "1",
    "WORKER_DELIVERY__CONCURRENCY": "8",
    "WORKER_DELIVERY__LINGER_SECONDS": "0.1",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Cases that start no server of their own choice see each in turn."""
    metafunc.parametrize("redis_binary", servers_of("ends"), indirect=True, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The forms of a case are shared out among the servers."""
    files = {path for path in {item.path for item in items} if HERE in path.parents}
    here = [item for item in items if item.path in files]
    left = set(here).difference(shared_out(here))
    if left:
        config.hook.pytest_deselected(items=[item for item in here if item in left])
        items[:] = [item for item in items if item not in left]


@pytest.fixture(autouse=True)
def _on_the_server(named_server: None) -> None:
    """Whatever starts a server in a case starts that one."""


class Keeper:
    """Keeps a house on each server open for the next case, as long as every case ended with the judge's consent."""

    def __init__(self, **settings: str) -> None:
        self._settings = {**QUICK, **settings}
        self._houses: dict[Path | None, House] = {}

    def open(self, binary: Path | None) -> House:
        """The house on that server, ready for a case, with a worker in it."""
        for other, resting in self._houses.items():
            resting.rest(is_resting=other != binary)
        house = self._houses.get(binary)
        if house is None or not house.is_sound:
            self.close(binary)
            house = self._houses[binary] = House(self._settings, binary=binary)
        house.begin_case()
        house.staffed()
        return house

    def close(self, binary: Path | None) -> None:
        """End a house; one whose last case failed shows its logs."""
        house = self._houses.pop(binary, None)
        if house is not None:
            house.close(show_logs=not house.is_sound)

    def close_all(self) -> None:
        """End every house."""
        for binary in list(self._houses):
            self.close(binary)


@pytest.fixture(scope="package")
def keeper() -> Iterator[Keeper]:
    """The houses of the fault cases; they close before the other tests begin, for their workers are busy even idle."""
    keeper = Keeper()
    yield keeper
    keeper.close_all()


@pytest.fixture
def house(keeper: Keeper, redis_binary: Path | None) -> Iterator[House]:
    """The session's house, with a running worker; a case that does not end with ``judge`` spoils it for others."""
    house = keeper.open(redis_binary)
    yield house
    if not house.is_sound:
        keeper.close(redis_binary)
