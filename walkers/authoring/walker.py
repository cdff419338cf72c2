"""The class that authors of walkers write. `docs/walkers.md` teaches it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from inspect import cleandoc, get_annotations
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Protocol, get_origin

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from taskhub.jsontools.schema import REQUIRED, ObjectSchema
from walkers.domain.route import Disengage, Skip

if TYPE_CHECKING:
    from taskhub.accounts.models import User
    from walkers.authoring.places import Place
    from walkers.services.files import Files
    from walkers.services.walks import Walk

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,199}")


class Incoming(Protocol):
    """The HTTP request that a walker answers. Credentials are not in it."""

    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def query(self) -> Mapping[str, str]: ...
    @property
    def headers(self) -> Mapping[str, str]: ...


class Walker:
    """Work that goes from node to node of a graph.

    Annotated class attributes are the fields of its `ctx`; the others are options or the author's own.
    """

    name: ClassVar[str] = ""  # default: the class's name in snake_case
    atomic: ClassVar[bool] = True  # one walk is one transaction
    time_limit: ClassVar[float | None] = None  # seconds; default: TASKHUB_RUN_TIME_LIMIT_SECONDS
    extra: ClassVar[bool] = False  # `ctx` may hold keys that are no fields; they stand in `self.ctx`

    _walk: Walk
    __given__: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls) -> None:
        """Takes defaults of fields that are named like something of Walker's out of its way."""
        super().__init_subclass__()
        fields = [name for name, kind in get_annotations(cls).items() if not _is_option(kind)]
        mine = {name: cls.__dict__[name] for name in fields if name in cls.__dict__}
        cls.__given__ = {**cls.__given__, **mine}
        for name in mine.keys() & _taken():
            delattr(cls, name)

    # What an author writes

    def visit(self, here: Place) -> None:
        """Called for each node that the walker comes to, first for the one where it starts."""
        raise NotImplementedError

    def finish(self) -> None:
        """Called once, after the last node."""

    # What an author calls

    def report(self, value: Any) -> None:
        """Adds `value` to the report, as it is now. Raises `TypeError` where JSON cannot hold it, naming the place."""
        self._walk.report_value(value)

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
        """Tells whoever asks how far it is. Here a walk that was cancelled or is out of time ends."""
        self._walk.progress(done, total, message)

    @property
    def ctx(self) -> Mapping[str, Any]:
        """The fields by name, among them those that are named like something of Walker's."""
        return self._walk.ctx

    @property
    def start(self) -> Place:
        """The node where the walk began."""
        return self._walk.start

    @property
    def caller(self) -> User:
        """Whose walk it is."""
        user: User = self._walk.user
        return user

    @property
    def files(self) -> Files:
        """Uploaded files by field, as in Django's `request.FILES`; the same in the background."""
        return self._walk.files

    @property
    def request(self) -> Incoming | None:
        """The HTTP request, or None in the background."""
        return self._walk.request

    @property
    def status(self) -> int | None:
        """The HTTP status of the answer; 200 unless it is set."""
        return self._walk.status

    @status.setter
    def status(self, status: int) -> None:
        self._walk.set_status(status)


def _taken() -> set[str]:
    """Names that mean something in every walker; a field of such a name stands in `self.ctx` only."""
    return {name for name in vars(Walker) if not name.startswith("__")} | {"_walk"}


@dataclass(frozen=True)
class Definition:
    """A walker as it can be run."""

    name: str
    sentinel: str
    description: str
    author: type[Walker]
    shape: ObjectSchema
    attributes: tuple[str, ...]  # fields that are set on the walker itself

    @classmethod
    def of(cls, author: type[Walker], sentinel: str) -> Definition:
        name = author.name or _snake_case(author.__name__)
        if not _NAME.fullmatch(name):
            raise ImproperlyConfigured(f"{author!r}: a name is made of letters, digits, _, . and -; {name!r} is not.")
        fields = _fields(author)
        shape = ObjectSchema(author.__name__, fields, extra=author.extra)
        own = tuple(field for field in fields if field not in _taken())
        return cls(name, sentinel, cleandoc(author.__doc__ or ""), author, shape, own)

    @property
    def atomic(self) -> bool:
        return self.author.atomic

    @property
    def time_limit(self) -> float:
        return self.author.time_limit or settings.RUN_TIME_LIMIT_SECONDS

    def make(self, walk: Walk) -> Walker:
        walker = self.author()
        walker._walk = walk
        for name in self.attributes:
            setattr(walker, name, walk.ctx[name])
        return walker


def _fields(author: type[Walker]) -> dict[str, tuple[Any, Any]]:
    """Annotation and default of each field, those of base classes first."""
    bases = [base for base in reversed(author.__mro__) if issubclass(base, Walker) and base is not Walker]
    hints = {name: kind for base in bases for name, kind in _hints(base).items()}
    return {name: (kind, author.__given__.get(name, REQUIRED)) for name, kind in hints.items()}


def _hints(base: type) -> dict[str, Any]:
    try:
        hints = get_annotations(base, eval_str=True)
    except NameError as error:
        raise ImproperlyConfigured(f"{base!r} is annotated with what is not defined: {error}") from None
    return {name: kind for name, kind in hints.items() if not _is_option(kind)}


def _is_option(kind: Any) -> bool:
    """Whether an annotation says ClassVar; with postponed annotations it is still a text."""
    if isinstance(kind, str):
        return kind.removeprefix("typing.").startswith("ClassVar")
    return ClassVar in (kind, get_origin(kind))


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
