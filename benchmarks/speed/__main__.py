"""Run the bench with the settings as shipped, and put the whole run's results into docs/benchmarks."""

from __future__ import annotations

import os
import sys

from benchmarks import RESULTS
from worker.cli.bench import bench

if __name__ == "__main__":
    for name in [name for name in os.environ if name.startswith("WORKER_")]:
        del os.environ[name]
    arguments = sys.argv[1:]
    bench([*arguments, *([] if "--quick" in arguments else ["--output", str(RESULTS)])])
