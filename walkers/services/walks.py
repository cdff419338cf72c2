"""Lets a walker walk: in the call that asks for it, or as a run of the ledger."""

import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, InterfaceError, OperationalError, transaction
from django.utils.datastructures import MultiValueDict
from django.utils.functional import SimpleLazyObject

from taskhub.db.fair_semaphore import FairSemaphore
from taskhub.errors import NotFound, Problem
from taskhub.runs.domain import LeaseLost, error_of
from taskhub.runs.queue.execution import Execution
from taskhub.security.masking import hiding
from walkers.authoring import sentinels
from walkers.authoring.places import Ground, Place
from walkers.authoring.walker import Definition, Incoming, Walker
from walkers.domain.json_copy import NotPlain, plain
from walkers.domain.route import Disengage, Route, Skip, WalkerFailed
from walkers.services.files import Files, close_files, files_of

log = logging.getLogger(__name__)

BODILESS = frozenset({204, 205, 304})
PATIENCE_SECONDS = 2.0  # short walks find a place within it, however many ask at once
_walks = FairSemaphore(settings.WALKS_AT_ONCE, settings.WALKS_PER_USER, "Too many walks are under way.")
_thread = threading.local()


@dataclass
class Walk:
    """One walk of one walker: what the walker is given, and what it does."""

    definition: Definition
    ctx: Mapping[str, Any]
    node_id: UUID
    user: Any
    files: Files = field(default_factory=MultiValueDict)
    request: Incoming | None = None
    execution: Execution | None = None
    status: int | None = None
    report: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        ground = self._ground = Ground()
        self.start = self._here = ground.place(self.node_id)
        self._route: Route[Place] = Route(self.start, limit=settings.WALK_STEPS_MAX)
        self._room = settings.RUN_RESULT_MAX_BYTES
        self._until = time.monotonic() + self.definition.time_limit

    def go(self) -> None:
        """The whole walk. Raises what the walker raises; nothing is committed here."""
        walker = self.definition.make(self)
        with suppress(Disengage):
            for place in self._route:
                self._check()
                if not place.gone:
                    self._step(walker, place)
        with suppress(Skip, Disengage):
            walker.finish()
        self._ground.store_all()

    def _step(self, walker: Walker, place: Place) -> None:
        self._here = place
        try:
            with suppress(Skip):
                walker.visit(place)
        finally:
            self._ground.store_touched()

    def transaction(self) -> AbstractContextManager[Any]:
        return transaction.atomic() if self.definition.atomic else nullcontext()

    @property
    def answer(self) -> dict[str, Any]:
        """`{success, report, final_node, yielded}`; and `status` when the walker has set one."""
        body: dict[str, Any] = {
            "success": (self.status or 200) < 400,
            "report": self.report,
            "final_node": self._here.jid,
            "yielded": False,
        }
        return body if self.status is None else body | {"status": self.status}

    def _check(self) -> None:
        if self.execution is not None:
            self.execution.check()
        elif time.monotonic() > self._until:
            raise TimeoutError(f"The time limit of {self.definition.time_limit:g} s is over.")

    # What the walker calls

    def report_value(self, value: Any) -> None:
        try:
            copy, size = plain(value, room=self._room)
        except NotPlain as error:
            raise TypeError(f"report[{len(self.report)}]{error.place}: {error.detail}") from None
        self._room -= size
        self.report.append(copy)

    def take(self, places: Place | Iterable[Place], *, once: bool) -> None:
        self._route.take([places] if isinstance(places, Place) else places, once=once)

    def progress(self, done: float, total: float | None, message: str) -> None:
        told = plain([done, total, str(message)[:1000]], room=10_000)[0]
        if self.execution is not None:
            self.execution.progress(*told)
        self._check()

    def set_status(self, status: int) -> None:
        if not 200 <= status <= 599 or status in BODILESS:
            raise ValueError(f"{status} is no status for an answer with a body.")
        self.status = int(status)


@contextmanager
def _failing_well(walk: Walk) -> Any:
    """What the walker raises becomes `WalkerFailed`; what concerns the run, or asks to be tried again, stays."""
    try:
        yield
    except (OperationalError, InterfaceError, LeaseLost):
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, Problem) and not error.permanent:
            raise
        if isinstance(error, SystemExit) and walk.execution is not None:
            raise  # a worker's process is told to end by this, too: then the run is tried again
        log.warning("The walker %s failed", walk.definition.name, exc_info=error)
        raise _failure(walk, error) from error


def _failure(walk: Walk, error: BaseException) -> WalkerFailed:
    what = error_of(error)
    if isinstance(error, IntegrityError):
        what["message"] = "What it stands on was changed meanwhile by another."
    return WalkerFailed(what["message"], report=walk.report, final_node=walk.answer["final_node"], error=what)


@contextmanager
def place_to_walk(user_id: UUID) -> Iterator[None]:
    """One of the places that a web process has for walks; a walk within a walk has it already. Raises `Unavailable`."""
    if getattr(_thread, "walks", False):
        yield
        return
    with _walks.acquire(user_id, PATIENCE_SECONDS):
        _thread.walks = True
        try:
            yield
        finally:
            _thread.walks = False


def walk_now(walk: Walk) -> dict[str, Any]:
    """The walk in the calling thread, with no entry in the ledger; its answer.

    Raises `WalkerFailed`, and as `place_to_walk` does.
    """
    with place_to_walk(walk.user.pk), hiding(walk.ctx), _failing_well(walk), walk.transaction():
        walk.go()
    return walk.answer


def perform(execution: Execution) -> None:
    """The walk of a claimed run; its effect and the run's end are one commit, unless the walker is not atomic."""
    walk = _walk_of(execution)
    try:
        with _failing_well(walk), walk.transaction():
            walk.go()
            execution.succeed(walk.answer)
    except WalkerFailed as failure:
        answer = walk.answer | {"success": False}
        error = failure.members["error"]
        execution.fail(error["type"], error["message"], answer)
    finally:
        close_files(walk.files)


def _walk_of(execution: Execution) -> Walk:
    run = execution.run
    definition, ctx = work_of(run.arguments)
    return Walk(
        definition,
        ctx,
        UUID(run.arguments["nd"]),
        user=SimpleLazyObject(lambda: run.owner),
        files=files_of(run) if run.arguments.get("files") else MultiValueDict(),
        execution=execution,
    )


def work_of(arguments: Mapping[str, Any]) -> tuple[Definition, dict[str, Any]]:
    """The walker and the checked `ctx` that a run's arguments name. Raises `NotFound`, `Rejected`."""
    sentinel = sentinels.named(arguments["snt"])
    if sentinel is None:
        raise NotFound(f"The sentinel {arguments['snt']!r} is not installed any more.")
    definition = sentinel.walker(arguments["name"])
    return definition, definition.shape.check_json(arguments["ctx"], at="/ctx")
