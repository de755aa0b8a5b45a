"""Who is given an HTTP client leaves it open, for others may still be calling with it; one's own is closed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from worker.feedback.label_files import LabelFiles
from worker.feedback.reading import KiliReader
from worker.kili import KiliAccess
from worker.kili.client import KiliClient
from worker.reports.gallery import AssetContents

ENDPOINT = "https://cloud.kili.test/api/label/v2/graphql"
ACCESS = KiliAccess(ENDPOINT, "a-secret-key")

USERS: dict[str, Callable[[httpx.Client | None], Any]] = {
    "calls to Kili": lambda http: KiliClient(ACCESS, http=http),
    "the reader of labels": lambda http: KiliReader(ACCESS, http=http),
    "files of labels": lambda http: LabelFiles(ACCESS, http=http),
    "contents of assets": lambda http: AssetContents(ENDPOINT, "key", http),
}


@pytest.mark.parametrize("user", USERS.values(), ids=USERS)
def test_a_given_client_stays_open(user: Callable[[httpx.Client | None], Any]) -> None:
    with httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200))) as http:
        user(http).close()
        assert http.get(ENDPOINT).status_code == 200


@pytest.mark.parametrize("user", [USERS["files of labels"], USERS["contents of assets"]])
def test_a_client_of_its_own_is_closed(user: Callable[[httpx.Client | None], Any]) -> None:
    one = user(None)
    one.close()
    assert one._http.is_closed
