"""What the SDK asks before it does anything: key, version, schema, expiry."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance import kili_sdk
from worker.sandbox.process import SandboxProcess

if TYPE_CHECKING:
    from kili.client import Kili


def connect(sandbox: SandboxProcess, key: str | None = None, **options: Any) -> Kili:
    return kili_sdk.Kili(api_key=key or sandbox.api_key, api_endpoint=sandbox.endpoint, **options)


def counts(admin: Callable[..., Any]) -> dict[str, int]:
    return {name: counted["count"] for name, counted in admin("calls")["operations"].items()}


def test_the_default_checks_pass_and_the_schema_is_fetched_once(
    sandbox: SandboxProcess, admin: Callable[..., Any], tmp_path: Path
) -> None:
    own_cache = {"graphql_schema_cache_dir": tmp_path}  # the default one is emptied by whoever else uses the SDK
    connect(sandbox, graphql_client_params=own_cache)
    admin("reset", {})
    connect(sandbox, graphql_client_params=own_cache)
    assert counts(admin) == {"viewer": 1, "apiKeys": 1}


def test_without_the_cache_the_schema_is_fetched_each_time(sandbox: SandboxProcess, admin: Callable[..., Any]) -> None:
    admin("reset", {})
    connect(sandbox, graphql_client_params={"enable_schema_caching": False})
    assert counts(admin) == {"viewer": 1, "__schema": 1, "apiKeys": 1}


def test_an_unknown_key_is_refused(sandbox: SandboxProcess) -> None:
    with pytest.raises(kili_sdk.AuthenticationFailed):
        connect(sandbox, "some other key")


def test_an_expired_key_is_refused_until_it_is_renewed(sandbox: SandboxProcess, admin: Callable[..., Any]) -> None:
    admin("keys", {"key": "temporary", "expiry": -1})
    with pytest.raises(kili_sdk.AuthenticationFailed):
        connect(sandbox, "temporary")
    admin("keys", {"key": "temporary", "expiry": "2090-01-01T00:00:00.000Z"})
    connect(sandbox, "temporary")


def test_a_key_that_expires_soon_makes_the_sdk_warn(sandbox: SandboxProcess, admin: Callable[..., Any]) -> None:
    admin("keys", {"key": "short", "expiry": 24 * 3600})
    with pytest.warns(UserWarning, match="will be deprecated|expire"):
        connect(sandbox, "short")


def test_a_key_that_lasts_makes_no_warning(sandbox: SandboxProcess) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        connect(sandbox)


def test_each_key_has_its_own_user(sandbox: SandboxProcess, kili: Kili, admin: Callable[..., Any]) -> None:
    admin("keys", {"key": "another", "expiry": 1e8})
    mine = kili.kili_api_gateway.get_current_user(["id", "email"])
    theirs = connect(sandbox, "another").kili_api_gateway.get_current_user(["id", "email"])
    assert mine["email"] != theirs["email"]
    assert mine["id"] != theirs["id"]


def test_users_and_the_organization_can_be_listed(kili: Kili) -> None:
    user = kili.kili_api_gateway.get_current_user(["id", "email"])
    organization = kili.organizations(email=user["email"], fields=["id", "name"])[0]
    found = kili.users(organization_id=organization["id"], email=user["email"], fields=["id", "email"])
    assert found == [user]
