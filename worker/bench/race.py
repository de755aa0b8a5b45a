"""One race: one competitor, one condition; what it finished is counted in Kili."""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from celery import Celery

from worker.bench.celery_process import CeleryProcess
from worker.bench.competitors import sdk_tasks
from worker.bench.competitors.us import await_that, workers
from worker.bench.ground import Ground
from worker.bench.predictions import Work
from worker.bench.processes import Child, cpu_seconds
from worker.settings import Settings
