"""A web page that the operator visits does not read his machine through the hub."""

from typing import Any

import pytest
import requests

from taskhub.web.hub_names import HubNames
from tests.conftest import Person
from tests.hub import Hub

PATHS = [
    "/",
    "/version/more",
    "/openapi.json",
    "/docs/",
    "/admin/login/",
    "/runs",
    "/v1/fetch",
    "/static/admin/css/base.css",
]


@pytest.mark.parametrize("path", PATHS)
def test_no_path_is_served_under_a_foreign_name(hub: Hub, path: str) -> None:
    with requests.Session() as session:
        session.trust_env = False
        for headers in (
            {"Host": "rebound.example"},
            {"Host": "rebound.example:80", "Origin": "http://rebound.example"},
        ):
            refusal = session.get(hub.url + path, headers=headers, timeout=30)
            assert (refusal.status_code, refusal.headers["Content-Type"]) == (400, "application/problem+json")
            assert "'rebound.example" in refusal.json()["detail"]
        refusal = session.get(hub.url + path, headers={"Origin": "http://page.example"}, timeout=30)
        assert (refusal.status_code, refusal.json()["type"]) == (403, "forbidden")


def test_a_foreign_page_signs_nobody_up(hub: Hub) -> None:
    sign_up = {"email": "rebound@example.com", "password": "correct horse battery"}
    with requests.Session() as session:
        session.trust_env = False
        for headers, status in (
            ({"Host": "rebound.example"}, 400),
            ({"Origin": "http://rebound.example"}, 403),
            ({"Origin": "null"}, 403),
            ({"Origin": hub.url}, 201),
        ):
            assert (
                session.post(f"{hub.url}/user/create/", json=sign_up, headers=headers, timeout=30).status_code == status
            )


def test_a_call_without_host_is_served(anonymous: Person, settings: Any) -> None:
    """Browsers always send one; programs that look after the hub may not."""
    settings.HUB_NAMES = HubNames.of("127.0.0.1")
    assert anonymous.get("/runs", headers={"Host": "rebound.example"}).status_code == 400
    assert anonymous.get("/openapi.json").status_code == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/version", "/healthz"])
def test_programs_that_look_after_the_hub_may_call_it_as_they_know_it(
    anonymous: Person, settings: Any, path: str
) -> None:
    settings.HUB_NAMES = HubNames.of("127.0.0.1")
    for name in (path, f"{path}/"):
        assert anonymous.get(name, headers={"Host": "10.0.0.7:8000"}).status_code in {200, 503}
    assert anonymous.get(path, headers={"Host": "10.0.0.7:8000", "Origin": "http://page.example"}).status_code == 403
