"""Make the Grafana dashboards in ops/grafana from the tables below: ``python scripts/make_dashboards.py``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders.common import VizLegendOptions, VizTooltipOptions
from grafana_foundation_sdk.builders.dashboard import (
    Dashboard,
    DatasourceVariable,
    QueryVariable,
    Row,
    ThresholdsConfig,
)
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.stat import Panel as Stat
from grafana_foundation_sdk.builders.timeseries import Panel as Timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement, TooltipDisplayMode
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    GridPos,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
    VariableSort,
)

FOLDER = Path(__file__).parents[1] / "ops" / "grafana"
WIDTH = 24
SOURCE = DataSourceRef(type_val="prometheus", uid="${source}")
P = "prediction_worker_"
OF = '{project=~"$project"}'


@dataclass(frozen=True)
class Chart:
    """One panel: its queries with the legend of each, and from which value on it is red (stats only)."""

    title: str
    meaning: str
    unit: str
    queries: Sequence[tuple[str, str]]
    is_stat: bool = False
    red_from: float | None = None
    greatest: float | None = None


def stat(title: str, meaning: str, unit: str, query: str, red_from: float | None = None) -> Chart:
    """A number."""
    return Chart(title, meaning, unit, [(query, "")], is_stat=True, red_from=red_from)


def quantile(share: float, metric: str, by: str = "") -> str:
    """A quantile of a histogram over the workers."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate({P}{metric}_bucket[$__rate_interval])))"


def rate(metric: str, by: str, selector: str = "") -> str:
    """The rate of a counter, by a label."""
    return f"sum by ({by}) (rate({P}{metric}{selector}[$__rate_interval]))"


def quantiles(metric: str) -> list[tuple[str, str]]:
    """Median and tail of a histogram."""
    return [(quantile(0.5, metric), "median"), (quantile(0.95, metric), "95 %")]


DELIVERY: dict[str, list[Chart]] = {
    "Now": [
        stat(
            "Waiting",
            "Predictions that wait or are leased.",
            "short",
            f'sum({P}predictions{{state=~"waiting|leased"}})',
        ),
        stat(
            "Oldest",
            "Age of the oldest prediction that is still here.",
            "s",
            f"max({P}oldest_age_seconds) or vector(0)",
        ),
        stat("Slowest drain", "Of the slowest project, at the present rate.", "s", f"max({P}drain_seconds)", 3600),
        stat("Dead letters", "Of all causes.", "short", f'sum({P}predictions{{state="dead"}})', 1),
        stat("Paused", "Pauses of all scopes.", "short", f"max({P}paused)", 1),
        stat("Conservation error", "Must be 0.", "short", f"max({P}conservation_error)", 1),
        stat("Workers that are live", "Those that Prometheus reaches.", "short", f"sum({P}live)"),
        stat("Workers that are ready", "Nothing keeps these from working.", "short", f"sum({P}ready)"),
    ],
    "Flow": [
        Chart(
            "Received and ended",
            "By project.",
            "ops",
            [
                (rate("project_received_total", "project", OF), "received {{project}}"),
                (rate("ended_total", "project, outcome", OF), "{{outcome}} {{project}}"),
            ],
        ),
        Chart(
            "Waiting by lane",
            "Lane 0 goes first.",
            "short",
            [
                (f"sum by (project, lane) ({P}waiting{OF})", "{{project}} lane {{lane}}"),
                (f"sum by (project) ({P}leased{OF})", "{{project}} leased"),
            ],
        ),
        Chart(
            "Age of the oldest by lane",
            "Time since it was admitted.",
            "s",
            [
                (f"max by (project, lane) ({P}oldest_age_seconds{OF})", "{{project}} lane {{lane}}"),
            ],
        ),
        Chart(
            "Drain time",
            "At the rate of the last minutes.",
            "s",
            [(f"max by (project) ({P}drain_seconds{OF})", "{{project}}")],
        ),
        Chart(
            "Prediction to label", "From predicted_at of the message.", "s", quantiles("prediction_to_label_seconds")
        ),
        Chart(
            "Wait in the backlog by lane",
            "95 % of the predictions waited no longer.",
            "s",
            [
                (quantile(0.95, "backlog_wait_seconds", "lane"), "lane {{lane}}"),
            ],
        ),
    ],
    "Sources": [
        Chart("Messages by source", "Taken from the inbox.", "ops", [(rate("messages_total", "source"), "{{source}}")]),
        Chart(
            "At admission",
            "What became of predictions that came in.",
            "ops",
            [(rate("admitted_total", "outcome"), "{{outcome}}")],
        ),
        Chart(
            "Backlog of the sources",
            "Messages that are not admitted yet.",
            "short",
            [
                (f"max by (source) ({P}source_backlog)", "{{source}}"),
                (f"max({P}at_the_doors)", "all"),
            ],
        ),
        Chart(
            "Lag of the sources",
            "Age of the oldest message; intake pauses when too much waits.",
            "s",
            [
                (f"max by (source) ({P}source_lag_seconds)", "{{source}}"),
                (f"max({P}intake_paused)", "intake paused"),
            ],
        ),
    ],
    "Kili": [
        Chart(
            "Calls by operation and outcome",
            "HTTP exchanges of the fleet.",
            "ops",
            [
                (rate("calls_total", "operation, outcome"), "{{operation}} {{outcome}}"),
            ],
        ),
        Chart(
            "Duration of calls",
            "95 % took no longer.",
            "s",
            [
                (quantile(0.95, "call_duration_seconds", "operation"), "{{operation}}"),
            ],
        ),
        Chart(
            "Retries and 429s",
            "Exchanges that repeated one that had failed; that Kili answered with 429.",
            "ops",
            [
                (rate("repeated_calls_total", "operation"), "retries {{operation}}"),
                (f"sum(rate({P}rate_limited_calls_total[$__rate_interval])) or vector(0)", "429"),
            ],
        ),
        Chart(
            "Call budget",
            "Calls in the last minute, and how many may be.",
            "short",
            [
                (f"max({P}budget_used_calls)", "used"),
                (f"max({P}budget_limit_calls)", "limit"),
            ],
        ),
        Chart(
            "Batch size", "Items of the writes.", "short", [(quantile(0.5, "call_items", "operation"), "{{operation}}")]
        ),
        Chart(
            "Batches in flight",
            "And how many may be, adapted to what Kili takes.",
            "short",
            [
                (f"sum({P}batches_in_flight)", "in flight"),
                (f"sum({P}concurrency_limit)", "limit"),
            ],
        ),
        Chart(
            "Pauses",
            "By scope and kind of error.",
            "short",
            [
                (f"sum by (scope, project, kind) ({P}pauses) or vector(0)", "{{scope}} {{project}} {{kind}}"),
            ],
        ),
        Chart(
            "Waiting for the budget",
            "Seconds that calls waited, per second.",
            "short",
            [
                (f"sum(rate({P}budget_wait_seconds_total[$__rate_interval]))", "all workers"),
            ],
        ),
    ],
    "Dead letters and Redis": [
        Chart(
            "Dead letters by cause",
            "Until they are replayed or dropped.",
            "short",
            [
                (f"sum by (cause) ({P}dead_letters) or vector(0)", "{{cause}}"),
            ],
        ),
        Chart(
            "Age of the oldest dead letter",
            "By cause.",
            "s",
            [
                (f"max by (cause) ({P}dead_letter_oldest_age_seconds) or vector(0)", "{{cause}}"),
            ],
        ),
        Chart(
            "Memory of Redis",
            "Used, and what it may use.",
            "bytes",
            [
                (f"max({P}redis_memory_used_bytes)", "used"),
                (f"max({P}redis_memory_limit_bytes)", "limit"),
            ],
        ),
        Chart(
            "Processor time",
            "Of each worker.",
            "percentunit",
            [
                (f"rate(process_cpu_seconds_total[$__rate_interval]) and on (instance) {P}live", "{{instance}}"),
            ],
        ),
    ],
}

BOTH = '{project=~"$project", model=~"$model"}'
QUALITY: dict[str, list[Chart]] = {
    "Agreement with humans": [
        Chart(
            "Agreement of live traffic",
            "Estimated from the audit sample, with its 95 % interval.",
            "percentunit",
            [
                (f"max by (project, model) ({P}agreement_ratio{BOTH})", "{{model}}"),
                (f"max by (project, model) ({P}agreement_ratio_low{BOTH})", "{{model}} lower end"),
                (f"max by (project, model) ({P}agreement_ratio_high{BOTH})", "{{model}} upper end"),
            ],
            greatest=1,
        ),
        Chart(
            "Width of the interval",
            "Narrower with more answered audits.",
            "percentunit",
            [
                (
                    f"max by (project, model) ({P}agreement_ratio_high{BOTH} - {P}agreement_ratio_low{BOTH})",
                    "{{model}}",
                ),
            ],
        ),
        Chart(
            "Verdicts and audits",
            "Human answers that count; answered audits among them.",
            "short",
            [
                (f"max by (project, model) ({P}verdicts{BOTH})", "verdicts {{model}}"),
                (f"max by (project, model) ({P}audits{BOTH})", "audits {{model}}"),
            ],
        ),
        Chart(
            "Overdue audits",
            "Without an answer for too long.",
            "short",
            [
                (f"max by (project, model) ({P}overdue_audits{BOTH})", "{{model}}"),
            ],
        ),
    ],
    "Drift": [
        Chart(
            "Drift alarms",
            "1 while an alarm waits for a person.",
            "short",
            [
                (f"max by (project, model, detector) ({P}drift_alarm{BOTH})", "{{model}} {{detector}}"),
            ],
            greatest=1,
        ),
        Chart(
            "Age of the figures",
            "Everything on this page is so old.",
            "s",
            [
                (f"max by (project) ({P}figures_age_seconds{OF})", "{{project}}"),
            ],
        ),
        Chart(
            "Model to human", "From the model's label to the human's.", "s", quantiles("prediction_to_verdict_seconds")
        ),
        Chart(
            "Label files",
            "That are tried again, or are unreadable.",
            "short",
            [
                (f"sum by (project, state) ({P}label_files_unread{OF})", "{{project}} {{state}}"),
            ],
        ),
    ],
}


def query_of(number: int, expression: str, legend: str) -> Dataquery:
    """A query over the time that is shown."""
    query = Dataquery().expr(expression).range().ref_id(chr(ord("A") + number)).datasource(SOURCE)
    return query.legend_format(legend) if legend else query


def panel_of(chart: Chart, place: GridPos) -> Any:
    """A panel."""
    panel: Any = Stat() if chart.is_stat else Timeseries()
    panel.title(chart.title).description(chart.meaning).unit(chart.unit).datasource(SOURCE).grid_pos(place)
    if chart.is_stat and chart.red_from is not None:
        steps = [Threshold(value=None, color="green"), Threshold(value=chart.red_from, color="red")]
        panel.thresholds(ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
    if not chart.is_stat:
        panel.min(0).tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
        legend = VizLegendOptions().show_legend(True)
        panel.legend(legend.display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM))
    if chart.greatest is not None:
        panel.max(chart.greatest)
    for number, (expression, words) in enumerate(chart.queries):
        panel.with_target(query_of(number, expression, words))
    return panel


def placed(charts: Sequence[Chart], top: int) -> Iterator[tuple[Chart, GridPos]]:
    """Charts side by side, in rows as wide as the page."""
    left, tallest = 0, 0
    for chart in charts:
        height, width = (4, 3) if chart.is_stat else (8, 8)
        if left + width > WIDTH:
            left, top, tallest = 0, top + tallest, 0
        yield chart, GridPos(h=height, w=width, x=left, y=top)
        left, tallest = left + width, max(tallest, height)


def choice(name: str, label: str, metric: str, labels: str) -> QueryVariable:
    """A variable with the values of a label."""
    query = QueryVariable(name).label(label).datasource(SOURCE).query(f"label_values({metric}, {labels})")
    return (
        query.multi(True)
        .include_all(True)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )


def dashboard(title: str, uid: str, rows: dict[str, list[Chart]], *choices: QueryVariable) -> str:
    """The JSON text of a dashboard."""
    page = Dashboard(title).uid(uid).tags(["prediction-worker"]).editable().refresh("30s").time("now-6h", "now")
    page.with_variable(DatasourceVariable("source").label("Prometheus").type("prometheus"))
    for one in choices:
        page.with_variable(one)
    top = 0
    for name, charts in rows.items():
        page.with_row(Row(name).grid_pos(GridPos(h=1, w=WIDTH, x=0, y=top)))
        bottom = top + 1
        for chart, place in placed(charts, top + 1):
            page.with_panel(panel_of(chart, place))
            bottom = max(bottom, place.y + place.h)
        top = bottom
    built = json.loads(json.dumps(page.build(), cls=JSONEncoder))
    for number, panel in enumerate(built["panels"], 1):
        panel["id"] = number
    return json.dumps(built, indent=2, sort_keys=True) + "\n"


def dashboards() -> dict[str, str]:
    """Every dashboard by its file's name."""
    projects = choice("project", "Project", f"{P}project_received_total", "project")
    models = choice("model", "Model version", f'{P}verdicts{{project=~"$project"}}', "model")
    return {
        "delivery.json": dashboard("Prediction worker: delivery", "prediction-worker-delivery", DELIVERY, projects),
        "model-quality.json": dashboard(
            "Prediction worker: model quality", "prediction-worker-quality", QUALITY, projects, models
        ),
    }


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in dashboards().items():
        (FOLDER / name).write_text(text, "utf-8")
        print(FOLDER / name)
