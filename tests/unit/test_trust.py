"""Certificate authorities are read once, however many clients there are."""

from __future__ import annotations

import ssl

import pytest

from worker.environment.connections import trusted
from worker.feedback.label_files import LabelFiles
from worker.kili import KiliAccess
from worker.reports.gallery import AssetContents


def test_certificates_are_read_once_however_many_projects_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    trusted()
    monkeypatch.setattr(ssl, "create_default_context", refuse)

    for _ in range(3):
        LabelFiles(KiliAccess("https://kili.example/graphql", "key")).close()
        AssetContents("https://kili.example/graphql", "key")


def test_a_server_without_a_certificate_of_a_known_authority_is_not_trusted() -> None:
    assert trusted().verify_mode is ssl.CERT_REQUIRED
    assert trusted().check_hostname


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("the certificates are read again")
