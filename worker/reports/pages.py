"""The report as several pages: one of all model versions, and one for each of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

from worker.feedback.messages import Links
from worker.reports.gallery import Exhibit
from worker.reports.page import page
from worker.reports.versions import PlaceOf

INDEX = "index.html"
LONGEST_NAME = 60


def overview(report_data: dict[str, Any], title: str, links: Links, place_of: PlaceOf) -> str:
    """The page of all model versions; each name leads to its own page."""
    return page(report_data, title, links, place_of=place_of)


def version_page(
    report_data: dict[str, Any], title: str, links: Links, model: str, back: str, shown: Sequence[Exhibit] = ()
) -> str:
    """The page of one model version.

    Args:
        report_data: of the project.
        title: of the project.
        links: into the project in Kili.
        model: the version, ``name:version``.
        back: where the page of all versions is.
        shown: disagreements of all versions.

    Raises:
        KeyError: there are no figures of this version.
    """
    found = [one for one in report_data["models"] if one["model"] == model]
    if not found:
        raise KeyError(model)
    compared = [row for row in report_data["comparisons"] if model in (row["champion"], row["challenger"])]
    own = {**report_data, "models": found, "comparisons": compared, "earlier_alarms": (), "reviewers": None}
    own["marks"] = {"conflicts": 0}  # of the whole project: told on its page
    about = f"How often this version agrees with the humans in {title}, in the last {report_data['days']:g} days"
    return page(own, model, links, [one for one in shown if one.row["model"] == model], about=about, back=back)


def folder(report_data: dict[str, Any], title: str, links: Links, shown: Sequence[Exhibit] = ()) -> dict[str, str]:
    """All pages by the names of their files."""
    pages = {INDEX: overview(report_data, title, links, file_name)}
    for one in report_data["models"]:
        pages[file_name(one["model"])] = version_page(report_data, title, links, one["model"], INDEX, shown)
    return pages


def file_name(model: str) -> str:
    """The file of a model version: the same at each report, safe on every file system, whatever the name holds."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", model).strip("-")[-LONGEST_NAME:]
    mark = hashlib.blake2b(model.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return f"model-{readable}-{mark}.html" if readable else f"model-{mark}.html"
