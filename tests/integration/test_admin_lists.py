"""Every list of the admin, whichever app it comes from."""

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from taskhub.web.admin import BigTableAdmin
from taskhub.web.page_policy import CONTENT_POLICY
from tests.conftest import Person, make_person
from tests.faults.credentials import waiting_run

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


# What each list may be asked for by its address: nothing else than its filters, and what other pages link to it by.
LOOKUPS = {
    "audit.AuditEntry": ["door"],
    "accounts.User": ["is_staff", "is_superuser", "is_active"],
    "crawlers.Crawler": ["external__id", "stream__id"],
    "crawlers.CrawlerTask": ["crawler__id", "stream__id"],
    "crawlers.Document": ["stream__id", "task__id"],
    "crawlers.RejectedLine": ["task__id"],
    "django_celery_beat.PeriodicTask": ["enabled"],
    "django_celery_results.TaskResult": ["status"],
    "extraction.CreditEntry": ["account__pk"],
    "extraction.ExtractionPage": ["process__seq"],
    "extraction.Process": ["status", "task__seq"],
    "runs.NotificationMessage": ["rule__id"],
    "runs.NotificationRule": ["enabled", "all_owners"],
    "runs.Run": ["state", "parent__id"],
    "sequences.SequenceStep": ["again", "run__id"],
    "walkers.Edge": ["graph__id"],
    "walkers.Node": ["graph__id"],
    "webhooks.DeliveryAttempt": ["delivery__state", "delivery__id"],
}
ENDINGS = [
    "",
    *("__exact", "__iexact", "__startswith", "__contains", "__in", "__gt", "__regex", "__isnull", "__len", "__0"),
]
FILTERS_OF_THEIR_OWN = {"runs.Run": {"kind"}}


def columns(model: Any) -> Iterator[str]:
    """All columns of a table, and of those that it leads to."""
    for field in model._meta.get_fields():
        yield field.name
        if field.related_model is not None and not isinstance(field.related_model, str):
            yield from (f"{field.name}__{inner.name}" for inner in field.related_model._meta.get_fields())
    yield from ("pk", "account__pk", "arguments__ctx__password", "context__token", "secrets__params", "owner__password")


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_lists_are_asked_for_by_nothing_but_their_filters_and_links(rf: RequestFactory, model: Any) -> None:
    page = admin.site._registry[model]
    request = rf.get("/")
    allowed = {
        f"{column}{ending}"
        for column in columns(model)
        for ending in ENDINGS
        if page.lookup_allowed(f"{column}{ending}", "1", request)
    }
    stated = {f"{column}__exact" for column in LOOKUPS.get(model._meta.label, [])}
    assert allowed == stated | FILTERS_OF_THEIR_OWN.get(model._meta.label, set())


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_other_lookups_are_refused(root: Client, model: Any) -> None:
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    for column in LOOKUPS.get(model._meta.label, []):
        assert root.get(address, {f"{column}__exact": "1"}).status_code in {200, 302}
    for field in model._meta.concrete_fields:
        refusal = root.get(address, {f"{field.name}__startswith": "C"})
        assert (refusal.status_code, refusal["Content-Type"]) == (400, "application/problem+json")


@pytest.mark.parametrize(
    "lookup",
    [
        "runs/run/?arguments__ctx__password__startswith=C",
        "runs/run/?result__0__token__regex=.",
        "runs/run/?owner__password__startswith=md5",
        "runs/run/?children__arguments__ctx__password__startswith=C",
        "accounts/user/?password__startswith=md5",
        "accounts/apikey/?digest__startswith=a",
        "accounts/apikey/?user__password__startswith=a",
        "knox/authtoken/?digest__startswith=a",
        "django_celery_beat/periodictask/?kwargs__contains=a",
        "django_celery_results/taskresult/?task_kwargs__contains=a",
        "crawlers/external/?headers__Authorization__startswith=a",
        "extraction/extractiontask/?payload__request__url__startswith=a",
        "walkers/node/?context__password__startswith=a",
    ],
)
def test_what_pages_mask_is_not_read_letter_by_letter(root: Client, lookup: str) -> None:
    assert root.get(f"/admin/{lookup}").status_code == 400


def test_pages_have_the_consoles_dress_and_policy_and_lead_there(root: Client, owner: Person) -> None:
    """No page of the admin has a script or a style in it, which the policy refuses."""
    run = waiting_run(owner.user)
    daily = {"name": "daily", "kind": "walker", "arguments": {"name": "echo"}, "when": {"crontab": "0 6 * * *"}}
    schedule = owner.post("/schedules", daily).json()["id"]
    pages = {
        f"/admin/runs/run/{run.pk}/change/": f"/console/runs/{run.pk}",
        f"/admin/django_celery_beat/periodictask/{schedule}/change/": f"/console/schedules/{schedule}",
        f"/admin/accounts/user/{owner.user.pk}/change/": f"/console/users/{owner.user.pk}",
        "/admin/": "/",
        "/admin/runs/run/": "/",
    }
    for address, led_to in pages.items():
        page = root.get(address)
        assert f'<a href="{led_to}"' in page.text
        assert "console/admin.css" in page.text
        assert page["Content-Security-Policy"] == CONTENT_POLICY
        assert not re.search(r"""\sstyle=|<style|\son\w+=["']|<script(?![^>]*(\ssrc=|application/json))""", page.text)
