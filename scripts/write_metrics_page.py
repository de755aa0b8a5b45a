"""Write docs/reference/metrics.md from the code: ``python scripts/write_metrics_page.py``."""

from __future__ import annotations

from pathlib import Path

from worker.monitoring.metrics import page

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "metrics.md"
HEAD = """# Metrics

`prediction-worker start` serves those of one worker at `WORKER_HTTP__LISTEN` (`127.0.0.1:9464/metrics`), counted
since it started: add up the workers. `prediction-worker exporter` serves those of the fleet
(`127.0.0.1:9465/metrics`), read from Redis: scrape it once, however many workers run. `prediction-worker status
--format prometheus` prints the fleet's too, without the drain time, which needs two looks. Clients that ask for
OpenMetrics get it. A worker also exposes `process_…` of the client library.

Labels are bounded. The first `WORKER_HTTP__MAX_PROJECTS` (100) projects have a label of their own, the others share
`_other`: counts are summed, ages are those of the worst, agreement and drift are left out. So it is with causes of
dead letters beyond 50; of a project's model versions the newest 50 are shown. `prediction_worker_series_left_out`
says how many are concerned.

`predicted_at` is the producer's clock: where that is wrong, so is `prediction_to_label_seconds`.

"""

if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(HEAD + "\n".join(page()), "utf-8")
    print(PAGE)
