"""Every list of the admin, whichever app it comes from."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from taskhub.web.admin import BigTableAdmin
from tests.conftest import make_person

pytestmark = pytest.mark.django_db
MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)


@pytest.fixture
def root() -> Client:
    browser = Client()
    browser.force_login(make_person("root@example.com", is_staff=True, is_superuser=True).user)
    return browser


def asked(browser: Client, model: Any, **query: str) -> list[str]:
    """The statements that one look at the list costs."""
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    with CaptureQueriesContext(connection) as queries:
        assert browser.get(address, query).status_code == 200
    return [query["sql"] for query in queries]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
@pytest.mark.parametrize("query", [{}, {"q": "word"}, {"q": str(UUID(int=7))}, {"_facets": "True"}], ids=str)
def test_no_list_counts_a_whole_table(root: Client, model: Any, query: dict[str, str]) -> None:
    statements = asked(root, model, **query)
    assert not [sql for sql in statements if "COUNT(" in sql and "LIMIT" not in sql]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_an_id_is_looked_up_rather_than_compared_as_text(root: Client, model: Any) -> None:
    page = admin.site._registry[model]
    assert isinstance(page, BigTableAdmin)
    statements = asked(root, model, q=str(uuid4()))
    if page.search_ids:
        assert not [sql for sql in statements if "::varchar" in sql or "::text" in sql or "LIKE" in sql]
