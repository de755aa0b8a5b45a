"""Imports in the background: what Kili takes apart itself, and the notification that tells how it went.

Kili's own SDK sends video files, tiled images and satellite images in no other way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from worker.kili.operations import Blame, NewAsset, Operation, Variables

UploadType = Literal["GEO_SATELLITE", "NATIVE_VIDEO", "TILED_IMAGE"]

APPEND_MANY_ASSETS_ASYNCHRONOUSLY = Operation(
    "mutation",
    "appendManyAssetsAsynchronously",
    (("data", "AppendManyAssetsAsynchronouslyData!"), ("where", "ProjectWhere!")),
    "{ id }",
    Blame.PROJECT,
)
NOTIFICATIONS = Operation(
    "query",
    "notifications",
    (("where", "NotificationWhere!"), ("first", "PageSize!"), ("skip", "Int!")),
    "{ id status message }",
    Blame.PROJECT,
    holds_items=False,
)


@dataclass(frozen=True, slots=True)
class Notification:
    """What Kili says of an import; ``status`` is SUCCESS, FAILURE, or any other word while it is under way."""

    status: str
    message: str = ""

    @property
    def is_pending(self) -> bool:
        """Whether the import has not ended yet."""
        return self.status not in ("SUCCESS", "FAILURE")


def import_variables(project_id: str, assets: Sequence[NewAsset], upload_type: UploadType) -> Variables:
    """Build ``appendManyAssetsAsynchronously``."""
    data = {
        "contentArray": [asset.content for asset in assets],
        "externalIDArray": [asset.external_id for asset in assets],
        "idArray": [asset.id for asset in assets],
        "jsonMetadataArray": [asset.metadata for asset in assets],
        "uploadType": upload_type,
    }
    return {"data": data, "where": {"id": project_id}}


def notification_variables(notification_id: str) -> Variables:
    """Build ``notifications`` for one of them."""
    return {"where": {"id": notification_id}, "first": 1, "skip": 0}


def read_id(root: Any) -> str:
    """Read the id of one object."""
    if not isinstance(root["id"], str):
        raise TypeError("the id is no string")
    return root["id"]


def read_notification(root: Any) -> Notification | None:
    """Read the answer of ``notifications``; None when there is none."""
    if not root:
        return None
    return Notification(str(root[0]["status"]), str(root[0]["message"] or ""))
