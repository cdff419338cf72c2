"""Forms with which crawlers are started, made and changed."""

from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse

from crawlers.api.request_models import CRAWLER, START
from crawlers.api.serializers import serialize_crawler
from crawlers.models import Crawler, External, Stream
from crawlers.services.crawler_secrets import params_to_change
from crawlers.services.definitions import change_crawler, create_crawler
from crawlers.services.task_runs import start_task
from taskhub.console.console_view import ConsoleView
from taskhub.console.crawler_forms import CrawlerForm, ParametersForm, free_streams
from taskhub.console.crawler_pages import visible_crawler
from taskhub.console.run_options_form import RunOptionsForm
from taskhub.console.saved_forms import save_forms, version_check
from taskhub.errors import Problem, invalid
from taskhub.runs.run_options import checked_options
from taskhub.security.masking import MASK
from taskhub.security.scopes import KeyScope


class StartCrawlerView(ConsoleView):
    """A form for one task, with the crawler's parameters; those that are changed lie over them."""

    is_form = True
    role_scope = KeyScope.RUN

    def get(self, request: HttpRequest, fid: UUID) -> HttpResponse:
        crawler = visible_crawler(request.user, fid)
        return _start_page(request, crawler, _params_form(crawler), RunOptionsForm(START))

    def post(self, request: HttpRequest, fid: UUID) -> HttpResponse:
        crawler = visible_crawler(request.user, fid)
        form, options = _params_form(crawler, request.POST), RunOptionsForm(START, request.POST)
        if not form.is_valid() & options.is_valid():
            return _start_page(request, crawler, form, options, status=HTTPStatus.BAD_REQUEST)
        try:
            task, is_new = start_task(crawler=crawler, params=form.changes, **checked_options(options.values))
        except Problem as problem:
            options.add_problem(problem, form, "/params")
            return _start_page(request, crawler, form, options, status=problem.status)
        if is_new:
            messages.success(request, "It is started: this is the task.")
        else:
            messages.warning(request, "A task of it is running already: this one.")
        return HttpResponseRedirect(reverse("console:crawlers-task", args=[task.fid]))


def _params_form(crawler: Crawler, sent: Any = None) -> ParametersForm:
    return ParametersForm(crawler.external, params_to_change(crawler), sent)


def _start_page(
    request: HttpRequest, crawler: Crawler, form: ParametersForm, options: RunOptionsForm, status: int = 200
) -> HttpResponse:
    context = {"crawler": crawler, "form": form, "options": options}
    return render(request, "console/start_crawler.html", context, status=status)


class NewCrawlerView(ConsoleView):
    """A form for a new crawler of an external."""

    is_form = True

    def get(self, request: HttpRequest, fid: UUID) -> HttpResponse:
        external = _visible_external(request, fid)
        forms = CrawlerForm(external, {}, is_new=True), ParametersForm(external, {})
        return _crawler_page(request, external, None, *forms)

    def post(self, request: HttpRequest, fid: UUID) -> HttpResponse:
        external = _visible_external(request, fid)
        forms = CrawlerForm(external, {}, request.POST, is_new=True), ParametersForm(external, {}, request.POST)

        def create() -> Crawler:
            return _create(external, forms[0].values, forms[1].values, forms[0].credential)

        return _save(request, forms, create, partial(_crawler_page, request, external, None, *forms), "It is made.")


@transaction.atomic
def _create(external: External, said: dict[str, Any], params: dict[str, Any], credential: Any) -> Crawler:
    """Makes the crawler, and begins its first task where that is asked for. Raises what the services raise."""
    values = CRAWLER.check({"meta": {"name": said["name"]}, "params": params, **_schedule_and_webhook(said)})
    crawler = create_crawler(
        external=external,
        stream=_chosen_stream(external, said["stream"]) if said.get("stream") else None,
        meta=values["meta"],
        params=values["params"],
        credential=credential,
        schedule=values.get("schedule"),
        webhook=values.get("webhook") or "",
    )
    if said.get("start"):
        start_task(crawler=crawler)
    return crawler


def _chosen_stream(external: External, fid: str) -> Stream:
    """Raises `Rejected`."""
    if fid not in dict(free_streams(external)):
        raise invalid("/stream", "There is no such stream, or it has a crawler.")
    stream: Stream = Stream.objects.get(fid=fid)
    return stream


class ChangeCrawlerView(ConsoleView):
    """A form for a crawler as it is to be from now on."""

    is_form = True

    def get(self, request: HttpRequest, fid: UUID) -> HttpResponse:
        crawler = visible_crawler(request.user, fid)
        return _crawler_page(request, crawler.external, crawler, *_change_forms(request, crawler))

    def post(self, request: HttpRequest, fid: UUID) -> HttpResponse:
        crawler = visible_crawler(request.user, fid)
        forms = _change_forms(request, crawler, request.POST)

        @transaction.atomic
        def change() -> Crawler:
            row = Crawler.objects.select_for_update(of=("self",), no_key=True).get(pk=crawler.pk)
            version_check(request)(row.version)
            return _change(crawler, forms[0].values, forms[1].values, forms[0].credential, request.user)

        page = partial(_crawler_page, request, crawler.external, crawler, *forms)
        return _save(request, forms, change, page, "It is changed.")


def _change_forms(request: HttpRequest, crawler: Crawler, sent: Any = None) -> tuple[CrawlerForm, ParametersForm]:
    shown = serialize_crawler(crawler, request.user)
    present = {"name": crawler.name, "webhook": shown["webhook"], "schedule": shown["schedule"]}
    return CrawlerForm(crawler.external, present, sent, is_new=False), _params_form(crawler, sent)


def _change(crawler: Crawler, said: dict[str, Any], params: dict[str, Any], credential: Any, user: Any) -> Crawler:
    """Changes what was said otherwise than it was shown; secrets that were left empty stay. Raises what it raises."""
    secrets = dict.fromkeys(crawler.secrets.get("params", {}), MASK)  # which stand for what is stored
    shown, sent = serialize_crawler(crawler, user), _schedule_and_webhook(said)
    changed = {name: value for name, value in sent.items() if (value or None) != (shown[name] or None)}
    values = {"meta": {**crawler.meta, "name": said["name"]}, "params": {**secrets, **params}, **changed}
    if credential is not None:
        values["credential"] = credential
    checked = CRAWLER.check(values)
    return change_crawler(crawler=crawler, values={name: checked[name] for name in values})


def _schedule_and_webhook(said: dict[str, Any]) -> dict[str, Any]:
    return {name: said.get(name) for name in ("schedule", "webhook")}


def _visible_external(request: HttpRequest, fid: UUID) -> External:
    external: External = External.objects.select_related("owner").get_visible(request.user, fid)
    return external


def _save(
    request: HttpRequest,
    forms: tuple[CrawlerForm, ParametersForm],
    save: Callable[[], Crawler],
    page: Callable[..., HttpResponse],
    done: str,
) -> HttpResponse:
    return save_forms(
        request,
        forms,
        save,
        add_problem=partial(_add_faults, *forms),
        page=page,
        address=lambda row: reverse("console:crawlers-crawler", args=[row.fid]),
        done=done,
    )


def _add_faults(crawler: CrawlerForm, params: ParametersForm, problem: Problem) -> None:
    """Shows what was refused at its field."""
    for error in problem.errors or [{"detail": problem.detail}]:
        pointer, detail = str(error.get("pointer", "")), str(error["detail"])
        if pointer.startswith("/params"):
            params.add_fault(pointer.removeprefix("/params"), detail)
        else:
            crawler.add_fault(pointer.removeprefix("/credential").removeprefix("/meta"), detail)


def _crawler_page(
    request: HttpRequest,
    external: External,
    row: Crawler | None,
    crawler: CrawlerForm,
    params: ParametersForm,
    status: int = 200,
    **more: Any,
) -> HttpResponse:
    version = request.POST.get("version") or (row and row.version)
    context = {"external": external, "row": row, "crawler": crawler, "params": params, "version": version}
    return render(request, "console/crawler_form.html", context | more, status=status)
