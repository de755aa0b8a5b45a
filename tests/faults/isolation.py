"""The rate of nineteen healthy projects beside one that Kili refuses, and without it, in turns.

    python -m tests.faults.isolation --rounds 5

prints both and their ratio. The call budget is the bottleneck, as it is in production.
"""

from __future__ import annotations

import argparse
import json
import time
from statistics import median

from tests.faults.house import House
from tests.faults.test_isolation import HEALTHY, LIMITED, NO_ACCESS, Street, sure

COUNT = 100


def main() -> None:
    """Measure, print, and ask the judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    rates: dict[str, list[float]] = {"alone": [], "beside a refused project": []}
    with House({**LIMITED, "WORKER_KILI__CALLS_PER_MINUTE": "1200"}) as house:
        house.worker()
        street = Street(house)
        street.deliver(COUNT)
        for _ in range(rounds):
            rates["alone"].append(rate(street))
            refused = house.project()
            house.harm({"project": refused, "action": NO_ACCESS})
            house.publish(sure(refused, 0, COUNT))
            rates["beside a refused project"].append(rate(street))
            house.heal()
            house.await_settled()
        house.judge()
    medians = {name: round(median(found), 1) for name, found in rates.items()}
    print(json.dumps({"predictions per second": medians, "all": rates, "ratio": ratio(medians)}, indent=1))


def rate(street: Street) -> float:
    """Predictions a second of the healthy projects together, from publishing to the last label."""
    begun = time.monotonic()
    street.deliver(COUNT)
    return round(HEALTHY * COUNT / (time.monotonic() - begun), 1)


def ratio(medians: dict[str, float]) -> float:
    """The rate beside refused projects as a share of the rate alone."""
    return round(medians["beside a refused project"] / medians["alone"], 3)


if __name__ == "__main__":
    main()
