"""Kili's official SDK, used in the two ways that its users know; unmodified, its default checks on."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Literal

from benchmarks.speed.predictions import MODEL, PRIORITY, Made

Way = Literal["tutorial", "best"]


def client(endpoint: str, api_key: str) -> Any:
    """A client of the SDK; making it asks Kili three or four things."""
    return importlib.import_module("kili.client").Kili(api_key=api_key, api_endpoint=endpoint, disable_tqdm=True)


def upload(kili: Any, project: str, made: Sequence[Made], way: Way) -> None:
    """Bring predictions to Kili: assets, INFERENCE labels, priorities.

    ``tutorial`` names the assets by external id, as the tutorial does, so that each step looks them up again; ``best``
    uses the ids that the first step returns, and asks for priorities by id.
    """
    created = kili.append_many_to_dataset(
        project_id=project,
        content_array=[one.url for one in made],
        external_id_array=[one.external_id for one in made],
    )
    ids = dict(zip([one.external_id for one in made], created["asset_ids"], strict=True))
    doubtful = [one.external_id for one in made if one.is_doubtful]
    labels = {"json_response_array": [one.json_response() for one in made], "label_type": "INFERENCE"}
    if way == "tutorial":
        names = [one.external_id for one in made]
        kili.append_labels(project_id=project, asset_external_id_array=names, model_name=MODEL, **labels)
        where: dict[str, Any] = {"project_id": project, "external_ids": doubtful}
    else:
        kili.append_labels(asset_id_array=[ids[one.external_id] for one in made], model_name=MODEL, **labels)
        where = {"asset_ids": [ids[name] for name in doubtful]}
    if doubtful:
        kili.update_properties_in_assets(priorities=[PRIORITY] * len(doubtful), **where)
