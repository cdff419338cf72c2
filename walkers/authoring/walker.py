"""The class that authors of walkers write, and the walk behind it. `docs/walkers.md` teaches it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing, closing, suppress
from functools import cached_property
from inspect import get_annotations, isasyncgen, isawaitable, isgenerator
from types import AsyncGeneratorType
from typing import Any, ClassVar, NoReturn, get_origin
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest

from taskhub.accounts.models import User
from taskhub.runs.domain import PRIORITY_DEFAULT
from taskhub.runs.queue.execution import Execution
from taskhub.security.masking import is_secret
from walkers.authoring.event_loop import WalkEventLoop, outside_event_loop
from walkers.authoring.places import Place, WalkSession
from walkers.authoring.route import Route
from walkers.domain.json_copy import NotJson, json_copy
from walkers.services.run_files import Files

BODILESS = frozenset({204, 205, 304})
PROGRESS_MESSAGE_MAX = 1_000  # characters


class Skip(BaseException):
    """The walker is done with this node. No `Exception`, so that no `except` of its author's catches it."""


class Disengage(BaseException):
    """The walker is done with the walk."""


class WalkerRequest:
    """The HTTP request that a walker answers, without credentials."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    @property
    def method(self) -> str:
        return self._request.method or ""

    @property
    def path(self) -> str:
        return self._request.path

    @cached_property
    def query(self) -> Mapping[str, str]:
        return {name: str(text) for name, text in self._request.GET.items() if name != "api_key"}

    @cached_property
    def headers(self) -> Mapping[str, str]:
        return {name: text for name, text in self._request.headers.items() if not is_secret(name)}


class Walker:
    """Work that goes from node to node of a graph.

    Annotated class attributes are the fields of its `ctx`; the others are options or the author's own.
    """

    name: ClassVar[str] = ""  # default: the class's name in snake_case
    atomic: ClassVar[bool] = True  # one walk is one transaction
    time_limit: ClassVar[float | None] = None  # seconds; default: TASKHUB_RUN_TIME_LIMIT_SECONDS
    attempts: ClassVar[int | None] = None  # of which each may fail; default: what cannot succeed later fails at once
    retry_delay: ClassVar[float] = 2  # seconds after the first that failed; then twice as many, each time
    priority: ClassVar[int] = PRIORITY_DEFAULT  # 1 to 9; of an owner's runs the higher is first
    concurrency: ClassVar[Mapping[str, Any] | None] = None  # `{key, limit, policy}` of its runs; see docs/walkers.md
    extra: ClassVar[bool] = False  # `ctx` may hold keys that are no fields; they are in `self.ctx`

    _walk: Walk
    __field_defaults__: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls) -> None:
        """Collects the defaults of fields, and removes those that would hide an attribute of Walker."""
        super().__init_subclass__()
        fields = [name for name, annotation in get_annotations(cls).items() if not is_class_variable(annotation)]
        defaults = {name: cls.__dict__[name] for name in fields if name in cls.__dict__}
        cls.__field_defaults__ = {**cls.__field_defaults__, **defaults}
        for name in defaults.keys() & reserved_names():
            delattr(cls, name)

    # What an author writes

    def visit(self, here: Place) -> Any:
        """Called for each node that the walker comes to, first for the one where it starts.

        It may be `async`; what it yields is reported; what it returns is of no account.
        """
        raise NotImplementedError

    def finish(self) -> Any:
        """Called once, after the last node; it may be what `visit` may be."""

    # What an author calls

    def report(self, value: Any) -> None:
        """Adds `value` to the report, as it is now. Raises `TypeError` where JSON cannot hold it, naming its path.

        In texts U+FFFD replaces U+0000 and lone surrogates, which the database cannot hold.
        """
        self._walk.add_to_report(value)

    def take(self, places: Place | Iterable[Place], *, once: bool = False) -> None:
        """The walker will come to these nodes, after those it took before; `once`: not to those it has taken before."""
        self._walk.take(places, once=once)

    def skip(self) -> NoReturn:
        """Leaves this node now and goes on to the next."""
        raise Skip

    def disengage(self) -> NoReturn:
        """Ends the walk now; what was done and reported so far counts."""
        raise Disengage

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Saves how far it is, for whoever asks. A walk that was cancelled or is out of time ends here."""
        self._walk.save_progress(done, total, message)

    def spawn(
        self,
        name: str,
        ctx: Mapping[str, Any] | None = None,
        *,
        nd: str | None = None,
        snt: str | None = None,
        **options: Any,
    ) -> UUID:
        """Starts another walker in the background, for the same user: a run whose parent is this one's. Its id.

        It is accepted in the transaction of the walk: where this walk fails, the other never was. `nd` and `snt` are as
        in `walker_run`, and so are the `options`: `tags`, `metadata`, `priority`, `expires_at`, `concurrency`,
        `run_at`. Raises `NotFound` and `Rejected`.
        """
        return self._walk.spawn(name, ctx or {}, nd=nd, snt=snt, **options)

    @property
    def ctx(self) -> Mapping[str, Any]:
        """The fields by name, among them those that are named like an attribute of Walker."""
        return self._walk.ctx

    @property
    def start(self) -> Place:
        """The node where the walk began."""
        return self._walk.start

    @property
    def caller(self) -> User:
        """The user whose walk it is."""
        user: User = self._walk.user
        return user

    @property
    def files(self) -> Files:
        """Uploaded files by field, as in Django's `request.FILES`; the same in the background."""
        return self._walk.files

    @property
    def request(self) -> WalkerRequest | None:
        """The HTTP request, or None in the background."""
        return self._walk.request

    @property
    def status(self) -> int | None:
        """The HTTP status of the response; 200 unless it is set."""
        return self._walk.status

    @status.setter
    def status(self, status: int) -> None:
        if not 200 <= status <= 599 or status in BODILESS:
            raise ValueError(f"{status} is no status for an answer with a body.")
        self._walk.status = int(status)


def reserved_names() -> set[str]:
    """Names that mean something in every walker; a field of such a name is in `self.ctx` only."""
    return {name for name in vars(Walker) if not name.startswith("__")} | {"_walk"}


def is_class_variable(annotation: Any) -> bool:
    """Whether an annotation is `ClassVar`; with postponed annotations it is still a text."""
    if isinstance(annotation, str):
        return annotation.removeprefix("typing.").startswith("ClassVar")
    return ClassVar in (annotation, get_origin(annotation))


class Walk:
    """One walk of one walker: what the walker is given, what it has reported, and where it goes.

    `execution` is the claimed run of a walk in the background; without it, `time_limit` in seconds ends the walk.
    """

    def __init__(
        self,
        ctx: Mapping[str, Any],
        node_id: UUID,
        user: Any,
        files: Files,
        *,
        time_limit: float,
        request: WalkerRequest | None = None,
        execution: Execution | None = None,
        spawn: Callable[..., UUID] | None = None,
    ) -> None:
        self.ctx, self.user, self.files = ctx, user, files
        self._spawn = spawn
        self.request, self.execution = request, execution
        self.status: int | None = None
        self.report: list[Any] = []
        self._session = WalkSession()
        self.start = self._current = self._session.place(node_id)
        self._route: Route[Place] = Route(self.start, limit=settings.WALK_STEPS_MAX)
        self._report_size_left = settings.RUN_RESULT_MAX_BYTES
        self._time_limit = time_limit
        self._deadline = time.monotonic() + time_limit
        self._event_loop = WalkEventLoop(self._check_may_go_on)

    def run(self, walker: Walker) -> None:
        """Visits one node after the other. Raises what the walker raises; nothing is committed here."""
        with closing(self._event_loop):
            with suppress(Disengage):
                for place in self._route:
                    self._check_may_go_on()
                    if not place.is_deleted:
                        self._visit(walker, place)
            with suppress(Skip, Disengage):
                self._complete(walker.finish())
        self._session.store_all()

    def _visit(self, walker: Walker, place: Place) -> None:
        self._current = place
        try:
            with suppress(Skip):
                self._complete(walker.visit(place))
        finally:
            self._session.store_touched()

    def _complete(self, returned: Any) -> None:
        """Carries out what a method has only begun: a coroutine is awaited, a generator read to its end."""
        if returned is None:
            return
        if isawaitable(returned):
            self._await(returned)
        elif isasyncgen(returned):
            self._await(self._report_all_async(returned))
        elif isgenerator(returned):
            with closing(returned):
                for value in returned:
                    self._report_yielded(value)

    def _await(self, awaitable: Awaitable[Any]) -> None:
        try:
            self._event_loop.run(awaitable)
        except BaseExceptionGroup as group:  # a walker that skips or disengages in one of its tasks
            left, others = group.split((Skip, Disengage))
            if left is None or others is not None:
                raise
            raise Disengage if left.subgroup(Disengage) else Skip from None

    async def _report_all_async(self, values: AsyncGeneratorType[Any, Any]) -> None:
        async with aclosing(values):
            async for value in values:
                self._report_yielded(value)

    def _report_yielded(self, value: Any) -> None:
        self.add_to_report(value)
        self._check_may_go_on()

    @property
    def result(self) -> dict[str, Any]:
        """`{success, report, final_node, yielded}`; and `status` when the walker has set one."""
        body: dict[str, Any] = {
            "success": (self.status or 200) < 400,
            "report": self.report,
            "final_node": self._current.jid,
            "yielded": False,
        }
        return body if self.status is None else body | {"status": self.status}

    def spawn(self, name: str, ctx: Mapping[str, Any], **options: Any) -> UUID:
        if self._spawn is None:
            raise RuntimeError("This walk cannot start others.")
        run = self.execution.run if self.execution else None
        return outside_event_loop(self._spawn)(self.user, run, name, ctx, **options)

    def _check_may_go_on(self) -> None:
        if self.execution is not None:
            self.execution.check()
        elif time.monotonic() > self._deadline:
            raise TimeoutError(f"The time limit of {self._time_limit:g} s is over.")

    def add_to_report(self, value: Any) -> None:
        try:
            copy, size = json_copy(value, room=self._report_size_left, mend=True)
        except NotJson as error:
            raise TypeError(f"report[{len(self.report)}]{error.path}: {error.detail}") from None
        self._report_size_left -= size
        self.report.append(copy)

    def take(self, places: Place | Iterable[Place], *, once: bool) -> None:
        self._route.take([places] if isinstance(places, Place) else places, once=once)

    def save_progress(self, done: float, total: float | None, message: str) -> None:
        told = {"done": done, "total": total, "message": str(message)[:PROGRESS_MESSAGE_MAX]}
        try:
            progress, _ = json_copy(told, room=10_000, mend=True)
        except NotJson as error:
            raise TypeError(f"progress{error.path}: {error.detail}") from None
        if self.execution is not None:
            self.execution.set_progress(**progress)
        self._check_may_go_on()
