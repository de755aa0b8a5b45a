"""``report`` and ``evaluate`` as a person calls them, on the sandbox."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import redis
from click.testing import CliRunner, Result

from tests.awaiting import PATIENCE, awaited
from tests.conformance import kili_sdk
from tests.integration.feedback_world import World, world
from tests.nursery import spawn
from worker.cli.evaluate import evaluate
from worker.cli.publish import publish
from worker.cli.report import report
from worker.demo.environment import WorkerProcess
from worker.demo.plan import CLASS_NAMES, load_digits, png
from worker.environment.embedded_redis import EmbeddedRedis
from worker.feedback.reading import ReadAsset
from worker.reports.gallery import AssetContents

if TYPE_CHECKING:
    from kili.client import Kili

VOID = {"br", "img", "meta"}
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def pictured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A sandbox with the pictures of 200 digits."""
    pictures = tmp_path_factory.mktemp("pictures")
    for number, image in enumerate(load_digits().images[:200]):
        (pictures / f"digit-{number}.png").write_bytes(png(image))
    with world(files=str(pictures)) as found:
        yield found


@pytest.fixture
def place(pictured: World) -> World:
    return pictured.with_new_project()


@pytest.fixture
def run(place: World, redis_server: EmbeddedRedis, client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Call a command with the settings of this world."""
    monkeypatch.setenv("KILI_API_ENDPOINT", place.sandbox.endpoint)
    monkeypatch.setenv("KILI_API_KEY", place.sandbox.api_key)
    monkeypatch.setenv("REDIS_URL", redis_server.url)
    monkeypatch.setenv("WORKER_KILI__CALLS_PER_MINUTE", "6000")
    monkeypatch.setenv("WORKER_LOG__LEVEL", "ERROR")

    def call(command: Any, *arguments: str) -> Result:
        return runner().invoke(command, list(arguments), catch_exceptions=False)

    return call


def runner() -> CliRunner:
    """A runner that keeps standard error apart, which click before 8.2 must be told."""
    try:
        return CliRunner(mix_stderr=False)
    except TypeError:
        return CliRunner()


class Page(HTMLParser):
    """What a page refers to, and whether its elements are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids.add(found.get("id") or "")
        if tag == "a":
            self.links.append(found["href"] or "")
        elif found.get("src") or found.get("href"):
            self.fetched.append(found.get("src") or found.get("href") or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def write_predictions(path: Path, images: range, source: str = "network") -> Path:
    """Messages that leave project, model and time out."""
    scores = load_digits().models[source]
    lines = [
        {"external_id": f"digit-{number}.png", "output": {"scores": dict(zip(CLASS_NAMES, row, strict=True))}}
        for number, row in zip(images, scores[images.start : images.stop], strict=True)
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def test_the_report_tells_agreement_with_all_it_rests_on(place: World, run: Run) -> None:
    place.predict("digits:1", range(200))
    place.label(60)

    words = run(report, "--project", place.project)
    report_data = json.loads(run(report, "--project", place.project, "--json").stdout)

    assert words.exit_code == 0
    assert "digits:1" in words.stdout
    assert "Naive average of the answers, not of live traffic" in words.stdout
    (model,) = report_data["models"]
    assert model["agreement"]["low"] < model["agreement"]["value"] < model["agreement"]["high"]
    assert (model["agreement"]["population"], model["agreement"]["verdicts"]) == (200, 60)
    assert report_data["marks"] == {"compared": 60, "conflicts": 0, "examples": []}


def test_the_interval_covers_what_the_sandbox_knows(place: World, run: Run) -> None:
    place.predict("digits:1", range(200))
    place.label(70)
    digits = load_digits()
    said = [max(range(10), key=row.__getitem__) for row in digits.models["network"][:200]]
    truth = sum(one == other for one, other in zip(said, digits.labels[:200], strict=True)) / 200

    report_data = json.loads(run(report, "--project", place.project, "--json").stdout)

    row = report_data["models"][0]["agreement"]
    assert row["low"] <= truth <= row["high"]
    assert abs(row["naive"] - truth) > abs(row["value"] - truth)


def test_into_a_folder_goes_a_page_for_each_model_version(place: World, run: Run, tmp_path: Path) -> None:
    place.predict("digits:1", range(60), source="logistic")
    place.predict("digits:2", range(50, 110), source="bayes")
    place.label(60, mistakes=0.02)
    folder = tmp_path / "report"
    for _ in range(2):
        result = run(report, "--project", place.project, "--html", f"{folder}/")
        assert "3 pages written" in result.stderr
    names = {one.name for one in folder.iterdir()}
    assert len(names) == 3
    for one in folder.iterdir():
        page = Page(one.read_text())
        assert page.open == []
        assert all(source.startswith("data:image/png;base64,") for source in page.fetched)
        leads_to = {link for link in page.links if link.startswith(("model-", "index"))}
        assert leads_to == (names - {one.name} if one.name == "index.html" else {"index.html"})
    pictured = {one.name for one in folder.iterdir() if Page(one.read_text()).fetched}
    assert pictured == names - {"index.html"}, "disagreements are on the pages of their versions"
    assert run(report, "--html", str(tmp_path / "no" / "folder") + "/").exit_code == 2


def test_the_page_needs_nothing_but_itself(place: World, run: Run, tmp_path: Path) -> None:
    place.predict("digits:1", range(120), source="logistic")
    place.predict("digits:2", range(100, 200), source="bayes")
    place.label(120, mistakes=0.02)
    file = tmp_path / "report.html"

    assert run(report, "--project", place.project, "--html", str(file)).exit_code == 0

    text = file.read_text()
    page = Page(text)
    assert page.open == []
    assert page.fetched
    assert all(source.startswith("data:image/png;base64,") for source in page.fetched)
    assert "<script" not in text
    assert "url(" not in text
    inside = [link[1:] for link in page.links if link.startswith("#")]
    assert set(inside) <= page.ids
    assert {"models", "worst", "confusion", "gallery", "versions"} <= set(inside)
    outside = {link for link in page.links if not link.startswith("#")}
    assert f"{place.sandbox.base_url}/label/projects/{place.project}/" in outside
    assert all(link.startswith(f"{place.sandbox.base_url}/label/projects/") for link in outside)


def test_the_export_has_both_responses_of_every_answered_prediction(place: World, run: Run, tmp_path: Path) -> None:
    place.predict("digits:1", range(120))
    place.label(40, mistakes=0.1)
    file = tmp_path / "answers.jsonl"

    run(report, "--project", place.project, "--export", str(file))

    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(rows) == 40
    assert all(row["disagrees"] == (row["model_response"] != _plain(row)) for row in rows)
    assert {row["model"] for row in rows} == {"digits:1"}


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """The human's response with the model's confidence, so that equal answers are equal."""
    (job, said), (_, meant) = row["model_response"].popitem(), row["human_response"].popitem()
    row["model_response"][job] = [one["name"] for one in said["categories"]]
    return {job: [one["name"] for one in meant["categories"]]}


def test_an_unknown_project_is_told_and_fails(run: Run) -> None:
    result = run(report, "--project", "nowhere")

    assert result.exit_code == 1
    assert "nowhere" in result.stderr


def test_an_alarm_that_does_not_exist_cannot_be_acknowledged(place: World, run: Run) -> None:
    result = run(report, "--project", place.project, "--acknowledge", "everything")

    assert result.exit_code == 1
    assert "detector/model/number" in result.stderr


CARS = {"black_car.jpg": "BLACK", "grey_car.jpg": "GREY", "white_car.jpg": "WHITE", "red_car.jpg": "RED"}
SAID = {"black_car.jpg": "WHITE", "grey_car.jpg": "GREY", "white_car.jpg": "RED", "red_car.jpg": "BLACK"}
COLOURS = {
    "jobs": {
        "CLASSIFICATION_JOB": {
            "mlTask": "CLASSIFICATION",
            "content": {
                "categories": {name: {"name": name.title()} for name in ("RED", "BLACK", "WHITE", "GREY")},
                "input": "radio",
            },
            "required": 0,
            "isChild": False,
            "instruction": "Color",
        }
    }
}


def colour(name: str) -> dict[str, Any]:
    return {"CLASSIFICATION_JOB": {"categories": [{"name": name}]}}


@pytest.fixture
def kili(place: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Kili:
    """The official SDK on the same sandbox."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("KILI_API_KEY", "KILI_API_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    return kili_sdk.Kili(api_key=place.sandbox.api_key, api_endpoint=place.sandbox.endpoint, disable_tqdm=True)


@pytest.fixture
def labeled_cars(kili: Kili) -> str:
    """The tutorial's cars, labeled by humans."""
    project: str = kili.create_project(input_type="IMAGE", json_interface=COLOURS, title="cars")["id"]
    kili.append_many_to_dataset(
        project_id=project,
        content_array=[f"https://example.com/{name}" for name in CARS],
        external_id_array=list(CARS),
    )
    label_cars(kili, project)
    return project


def label_cars(kili: Kili, project: str) -> None:
    """Humans say what is right."""
    kili.append_labels(
        project_id=project,
        asset_external_id_array=list(CARS),
        json_response_array=[colour(name) for name in CARS.values()],
        label_type="DEFAULT",
    )


def printed_by_the_sdk(kili: Kili, project: str) -> list[str]:
    """The loop of the tutorial."""
    lines = []
    for label in kili.labels(project, fields=["inferenceMark", "id", "labelOf.id"], type_in=["DEFAULT"]):
        if label["inferenceMark"] < 1:
            asset_id = label["labelOf"]["id"]
            model = kili.labels(project, asset_id=asset_id, type_in=["INFERENCE"], output_format="parsed_label")[0]
            human = kili.labels(project, label_id=label["id"], output_format="parsed_label")[0]
            said, meant = (one.jobs["CLASSIFICATION_JOB"].category.name for one in (model, human))
            lines.append(f"The model predicted {said} but the human predicted {meant} for asset with id {asset_id}.")
    return lines


def test_the_first_use_case_prints_what_the_sdks_code_prints(
    place: World, kili: Kili, run: Run, redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    """Predictions are published, the worker delivers them, humans label; then agreement is looked at."""
    project: str = kili.create_project(input_type="IMAGE", json_interface=COLOURS, title="live cars")["id"]
    messages = [
        {
            "project_id": project,
            "external_id": name,
            "asset": {"url": f"https://example.com/{name}"},
            "model": {"name": "my_model", "version": "1"},
            "output": {"scores": {one: 0.9}},
            "predicted_at": datetime.now(UTC).isoformat(),
        }
        for name, one in SAID.items()
    ]
    file = tmp_path / "live.jsonl"
    file.write_text("\n".join(map(json.dumps, messages)))
    access = {"KILI_API_ENDPOINT": place.sandbox.endpoint, "KILI_API_KEY": place.sandbox.api_key}

    assert run(publish, str(file)).exit_code == 0
    with WorkerProcess({**access, "REDIS_URL": redis_server.url}, tmp_path, spawn=spawn):
        awaited(lambda: kili.count_labels(project_id=project, type_in=["INFERENCE"]) == len(CARS), "every label")
    label_cars(kili, project)
    result = run(report, "--project", project)

    ours = [line for line in result.stdout.splitlines() if line.startswith("The model predicted")]
    assert sorted(ours) == sorted(printed_by_the_sdk(kili, project))
    assert len(ours) == 3


@pytest.fixture
def said(tmp_path: Path) -> Path:
    path = tmp_path / "said.jsonl"
    lines = [{"external_id": name, "output": {"json_response": colour(one)}} for name, one in SAID.items()]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def test_the_second_use_case_prints_what_the_sdks_code_prints(
    labeled_cars: str, kili: Kili, run: Run, said: Path
) -> None:
    result = run(evaluate, str(said), "--project", labeled_cars, "--model", "my_model:1")

    ours = [line for line in result.stdout.splitlines() if line.startswith("The model predicted")]
    assert result.exit_code == 0
    assert sorted(ours) == sorted(printed_by_the_sdk(kili, labeled_cars))
    assert len(ours) == 3
    assert "25.0\u202f% (4.6\u202f% to 69.9\u202f%) of 4 labeled assets" in result.stdout
    assert "Kili's marks contradict ours on 0 of 4 labels" in result.stdout


def test_without_upload_the_same_is_computed_and_kili_stays_as_it_is(
    labeled_cars: str, kili: Kili, run: Run, said: Path
) -> None:
    local = run(evaluate, str(said), "--project", labeled_cars, "--model", "my_model:1", "--no-upload")

    assert kili.count_labels(project_id=labeled_cars, type_in=["INFERENCE"]) == 0
    uploaded = run(evaluate, str(said), "--project", labeled_cars, "--model", "my_model:1")
    assert _told(local) == _told(uploaded)


def _told(result: Result) -> list[str]:
    return [line for line in result.stdout.splitlines() if not line.startswith("Kili's marks")]


def test_evaluating_twice_leaves_one_label_of_the_model_version(
    labeled_cars: str, kili: Kili, run: Run, said: Path
) -> None:
    for _ in range(2):
        run(evaluate, str(said), "--project", labeled_cars, "--model", "my_model:1")

    assert kili.count_labels(project_id=labeled_cars, type_in=["INFERENCE"]) == 4


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (("--fail-under", "0.2"), 0),
        (("--fail-under", "0.3"), 1),
        (("--fail-under", "0.2", "--strict"), 1),
        (("--fail-under", "0.04", "--strict"), 0),
    ],
)
def test_the_exit_status_is_a_gate_for_models(
    labeled_cars: str, run: Run, said: Path, options: tuple[str, ...], status: int
) -> None:
    base = (str(said), "--project", labeled_cars, "--model", "my_model:1", "--no-upload")

    assert run(evaluate, *base, *options).exit_code == status


def test_what_cannot_be_evaluated_is_named(place: World, run: Run, tmp_path: Path) -> None:
    place.predict("digits:1", range(60))
    place.label(20)
    file = write_predictions(tmp_path / "said.jsonl", range(40, 80))
    file.write_text(file.read_text() + '\n{"external_id": "digit-1.png", "output": {"scores": {"ELEVEN": 1.0}}}\n{')

    result = run(evaluate, str(file), "--project", place.project, "--model", "digits:2", "--json")

    found = json.loads(result.stdout)
    assert len(found["missing"]) == 20
    assert [line.split(":")[0] for line in found["refused"]] == ["line 41", "line 42"]
    assert len(found["unlabeled"]) + found["models"][0]["agreement"]["verdicts"] == 20


def test_marks_that_are_late_are_awaited(run: Run, place: World, tmp_path: Path) -> None:
    place.predict("digits:1", range(30))
    place.label(30)
    place.admin("config", {"mark_delay": 1.0})
    file = write_predictions(tmp_path / "said.jsonl", range(30), "bayes")

    result = run(
        evaluate, str(file), "--project", place.project, "--model", "digits:2", "--json", "--wait", str(PATIENCE)
    )

    assert json.loads(result.stdout)["marks"]["compared"] == 30
    assert json.loads(result.stdout)["marks"]["conflicts"] == 0


def test_the_evaluation_has_a_page(run: Run, place: World, tmp_path: Path) -> None:
    place.predict("digits:1", range(60))
    place.label(60)
    file = write_predictions(tmp_path / "said.jsonl", range(60), "bayes")
    html = tmp_path / "evaluation.html"

    run(evaluate, str(file), "--project", place.project, "--model", "bayes:1", "--no-upload", "--html", str(html))

    page = Page(html.read_text())
    assert page.open == []
    assert {"models", "confusion", "calibration", "gallery"} <= page.ids
    assert "drift" not in page.ids


def test_without_redis_models_can_still_be_evaluated(
    labeled_cars: str, run: Run, said: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")

    result = run(evaluate, str(said), "--project", labeled_cars, "--model", "my_model:1", "--no-upload")

    assert result.exit_code == 0
    assert "no Redis" in result.stderr


def test_pictures_are_asked_for_without_the_key_from_other_hosts() -> None:
    seen: dict[str, str | None] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        seen[request.url.host] = request.headers.get("Authorization")
        return httpx.Response(200, content=png(load_digits().images[0]))

    http = httpx.Client(transport=httpx.MockTransport(answer))
    contents = AssetContents("https://kili.example/api/label/v2/graphql", "key", http)
    for url in ("https://kili.example/files/1", "https://elsewhere.example/1"):
        asset = ReadAsset("a", "a", date(2026, 1, 1), url, "", {}, ())
        assert contents.of(asset).picture.startswith("data:image/png")

    assert seen == {"kili.example": "X-API-Key: key", "elsewhere.example": None}
