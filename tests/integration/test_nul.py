"""U+0000, which no text of the database holds: refused wherever it can be written, and told where."""

import re

import pytest
from django.contrib import admin
from django.db.models import Model
from django.test import Client

from tests.conftest import Person, make_person
from tests.problems import problem
from tests.routes import routes

pytestmark = pytest.mark.django_db
MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
ROUTES = sorted({f"/{re.sub('<[^>]+>|[(^].*', '1', route)}" for route, _ in routes()})


@pytest.fixture
def root() -> Client:
    browser = Client(raise_request_exception=False)
    browser.force_login(make_person("root@example.com", is_staff=True, is_superuser=True).user)
    return browser


def test_no_route_takes_it_in_its_query(root: Client, owner: Person) -> None:
    assert len(ROUTES) > 100
    for route in ROUTES:
        for answer in (
            root.get(f"{route}?name=a%00b"),
            owner.get(f"{route}?limit=1&name=%00"),
            owner.post(f"{route}?name=%00"),
        ):
            problem(answer, 400, "/name")


def test_the_place_is_told(owner: Person) -> None:
    problem(owner.get("/runs?kind=a&a~b%00/c=1"), 400, "/a~0b\0~1c")


@pytest.mark.parametrize("path", ["/runs/%00", "/js/%00", "/v1/files/%00/a.csv", "/admin/runs/run/%00/change/", "/%00"])
def test_no_path_leads_anywhere_with_it(root: Client, owner: Person, path: str) -> None:
    assert {root.get(path).status_code, owner.get(path).status_code} <= {302, 400, 404}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
@pytest.mark.parametrize("query", ["name__exact=%00", "q=%00", "o=%00", "_to_field=%00", "state__exact=a%00"])
def test_no_list_of_the_admin_takes_it(root: Client, model: type[Model], query: str) -> None:
    meta = model._meta
    problem(root.get(f"/admin/{meta.app_label}/{meta.model_name}/?{query}"), 400, f"/{query.partition('=')[0]}")


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_no_action_takes_what_is_no_key(root: Client, model: type[Model]) -> None:
    meta = model._meta
    page = admin.site._registry[model]
    for action in ("delete_selected", *(page.actions or ())):
        for key in ("\0", "a\0", "no key"):
            form = {"action": action, "_selected_action": key, "post": "yes"}
            assert root.post(f"/admin/{meta.app_label}/{meta.model_name}/", form).status_code in {200, 302, 400}


@pytest.mark.parametrize("path", ["/admin/", "/runs", "/docs/"])
def test_no_cookie_has_it(path: str) -> None:
    """Quoted as RFC 2109 has it."""
    answer = Client(raise_request_exception=False).get(path, headers={"Cookie": 'sessionid="\\000aaaaaaaaaaaa"'})
    assert answer.status_code == (200 if path == "/docs/" else 400)
