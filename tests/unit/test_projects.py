"""What an operator says about a project's outputs, and what happens when the file is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from worker.projects import configuration
from worker.projects.configuration import ProjectConfig, Projects, ProjectsFileError, read_projects_file


@pytest.fixture(autouse=True)
def looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "LOOK_SECONDS", -1.0)


def write(path: Path, text: str, at: int) -> None:
    path.write_text(text, "utf-8")
    os.utime(path, (at, at))


def test_a_project_has_its_own_configuration_others_that_of_the_star(tmp_path: Path) -> None:
    path = tmp_path / "projects.toml"
    write(path, '["p1"]\njob = "J"\ncategories = { crimson = "RED" }\n["*"]\npartial = true\n', 1)
    known = Projects(path)
    assert (known.of("p1").job, known.of("p1").categories, known.of("p1").partial) == ("J", {"crimson": "RED"}, False)
    assert known.of("anything").partial
    assert Projects(None).of("p1") == ProjectConfig()


def test_a_changed_file_is_taken_over_and_a_wrong_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "projects.toml"
    write(path, '["p1"]\njob = "first"\n', 1)
    known = Projects(path)
    write(path, '["p1"]\njob = "second"\n', 2)
    assert known.of("p1").job == "second"
    write(path, '["p1"]\njob = 3\n', 3)
    assert known.of("p1").job == "second"
    path.unlink()
    assert known.of("p1").job == "second"
    write(path, '["p1"]\njob = "third"\n', 4)
    assert known.of("p1").job == "third"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('["p1"]\njbo = "J"\n', "p1.jbo"),
        ('["p1"]\nscore_kind = "odds"\n', "p1.score_kind"),
        ('["p1"]\nthreshold = 2\n', "p1.threshold"),
        ("[p1", "Expected '\\]'"),
    ],
)
def test_a_wrong_file_is_refused_with_project_and_key(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "projects.toml"
    write(path, text, 1)
    with pytest.raises(ProjectsFileError, match=words):
        read_projects_file(path)


def test_a_missing_file_is_refused_at_start(tmp_path: Path) -> None:
    with pytest.raises(ProjectsFileError, match="none"):
        Projects(tmp_path / "none.toml")


def test_every_option_of_the_file_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text("utf-8")
    rows = [line.split("`")[1] for line in page.partition("| option |")[2].splitlines()[2:] if line.startswith("| `")]
    assert set(rows[: len(ProjectConfig.model_fields)]) == set(ProjectConfig.model_fields)


def test_the_example_of_the_documentation_is_a_projects_file(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text("utf-8")
    path = tmp_path / "projects.toml"
    path.write_text(page.partition("```toml\n")[2].partition("```")[0], "utf-8")
    [config] = read_projects_file(path).values()
    assert (config.score_kind, config.categories) == ("logit", {"moggy": "CAT"})
