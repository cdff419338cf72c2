"""Which walkers there are. A sentinel is the named set of walkers that one Django app contributes."""

import random
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from inspect import cleandoc, get_annotations, getattr_static, getsourcefile, getsourcelines, isfunction, signature
from types import ModuleType
from typing import Any
from uuid import UUID

from django.apps import AppConfig, apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from taskhub.error_texts import storable
from taskhub.errors import NotFound, Rejected
from taskhub.jsontools.schema import REQUIRED, ObjectSchema
from taskhub.runs.domain import PRIORITY_DEFAULT, spread_backoff
from taskhub.runs.models.run import CONCURRENCY_KEY_MAX
from taskhub.runs.run_options import checked_options, run_options
from walkers.authoring.walker import Walk, Walker, is_class_variable, reserved_names
from walkers.domain.ids import GLOBAL, NAME_MAX, as_id, sentinel_id

BUNDLED = "taskhub"
ATTEMPTS_MAX = 100
RETRY_DELAY_MAX = 86_400
_CTX_FIELD = re.compile(r"\{ctx\.(\w+)\}")
_WALKER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,199}")


@dataclass(frozen=True)
class WalkerDefinition:
    """A walker as it can be run. `ctx_schema` describes its `ctx`."""

    name: str
    sentinel: str
    description: str
    walker_class: type[Walker]
    ctx_schema: ObjectSchema
    attributes: tuple[str, ...]  # fields that are set on the walker itself

    @classmethod
    def of(cls, walker_class: type[Walker], sentinel: str) -> "WalkerDefinition":
        """Raises `ImproperlyConfigured` for a class that is no walker that can be run."""
        name = walker_class.name or _snake_case(walker_class.__name__)
        if not _WALKER_NAME.fullmatch(name):
            raise ImproperlyConfigured(
                f"{walker_class!r}: a name is made of letters, digits, _, . and -; {name!r} is not."
            )
        _check_methods(walker_class, name)
        fields = _fields_of(walker_class)
        ctx_schema = ObjectSchema(walker_class.__name__, fields, extra=walker_class.extra)
        attributes = tuple(field for field in fields if field not in reserved_names())
        _check_options(walker_class, name, fields)
        return cls(name, sentinel, cleandoc(walker_class.__doc__ or ""), walker_class, ctx_schema, attributes)

    @property
    def atomic(self) -> bool:
        return self.walker_class.atomic

    @property
    def time_limit(self) -> float:
        """Seconds."""
        return self.walker_class.time_limit or settings.RUN_TIME_LIMIT_SECONDS

    def options_of(self, ctx: Mapping[str, Any]) -> dict[str, Any]:
        """What the walker states of its runs. In its concurrency key `{ctx.NAME}` is a field's value."""
        stated = run_options({name: getattr(self.walker_class, name) for name in ("priority", "concurrency")})
        if self.walker_class.attempts is not None:
            stated["attempts"] = self.walker_class.attempts
        if stated.get("priority") == PRIORITY_DEFAULT:
            del stated["priority"]
        if concurrency := stated.get("concurrency"):
            values = {**self.walker_class.__field_defaults__, **ctx}
            key = _CTX_FIELD.sub(lambda found: str(values.get(found[1], "")), concurrency.key)
            stated["concurrency"] = replace(concurrency, key=storable(key)[:CONCURRENCY_KEY_MAX])
        return stated

    def retry_delay(self, failures: int) -> float:
        """Seconds until the next attempt after so many that failed."""
        return spread_backoff(failures, first=self.walker_class.retry_delay, chance=random.random())  # noqa: S311

    def create_walker(self, walk: Walk) -> Walker:
        walker = self.walker_class()
        walker._walk = walk
        for name in self.attributes:
            setattr(walker, name, walk.ctx[name])
        return walker


def _check_methods(walker_class: type[Walker], name: str) -> None:
    """Raises `ImproperlyConfigured` for a `visit` or `finish` that the hub cannot call on a walker.

    It is a plain method: `def` or `async def`, with or without `yield`, perhaps decorated with what gives a function.
    """
    for method, arguments in (("visit", ("self", "here")), ("finish", ("self",))):
        found = getattr_static(walker_class, method)
        if not isfunction(found):
            fault = f"is a {type(found).__name__}, and must be a method"
        elif not _takes(found, len(arguments)):
            fault = f"must be called with {' and '.join(arguments)}"
        else:
            continue
        raise ImproperlyConfigured(f"The walker {name!r} ({_place_of(walker_class)}): its {method} {fault}.")


def _check_options(walker_class: type[Walker], name: str, fields: Mapping[str, Any]) -> None:
    """Raises `ImproperlyConfigured` for attempts, a priority or a concurrency that cannot be."""
    attempts, delay = walker_class.attempts, walker_class.retry_delay
    fault = ""
    if attempts is not None and not (isinstance(attempts, int) and 1 <= attempts <= ATTEMPTS_MAX):
        fault = f"its attempts are a number from 1 to {ATTEMPTS_MAX}"
    elif not (isinstance(delay, int | float) and 0 <= delay <= RETRY_DELAY_MAX):
        fault = f"its retry_delay is a number of seconds, up to {RETRY_DELAY_MAX}"
    try:
        stated = checked_options({"priority": walker_class.priority, "concurrency": walker_class.concurrency})
        key = stated["concurrency"].key if "concurrency" in stated else ""
        if strange := [field for field in _CTX_FIELD.findall(key) if field not in fields]:
            fault = f"it has no field {strange[0]!r}, which its concurrency key names"
    except Rejected as error:
        fault = error.detail
    if fault:
        raise ImproperlyConfigured(f"The walker {name!r} ({_place_of(walker_class)}): {fault}.")


def _takes(method: Callable[..., Any], count: int) -> bool:
    try:
        signature(method, follow_wrapped=False).bind(*range(count))
    except TypeError:
        return False
    return True


def _place_of(walker_class: type) -> str:
    """Where a class is written: its name, and the file and the line as far as they are known."""
    name = f"{walker_class.__module__}.{walker_class.__qualname__}"
    try:
        return f"{name}, {getsourcefile(walker_class)}:{getsourcelines(walker_class)[1]}"
    except (OSError, TypeError):
        return name


def _fields_of(walker_class: type[Walker]) -> dict[str, tuple[Any, Any]]:
    """Annotation and default of each field, those of base classes first."""
    bases = [base for base in reversed(walker_class.__mro__) if issubclass(base, Walker) and base is not Walker]
    annotations = {name: annotation for base in bases for name, annotation in _field_annotations(base).items()}
    defaults = walker_class.__field_defaults__
    return {name: (annotation, defaults.get(name, REQUIRED)) for name, annotation in annotations.items()}


def _field_annotations(base: type) -> dict[str, Any]:
    try:
        annotations = get_annotations(base, eval_str=True)
    except NameError as error:
        raise ImproperlyConfigured(f"{base!r} is annotated with what is not defined: {error}") from None
    return {name: annotation for name, annotation in annotations.items() if not is_class_variable(annotation)}


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


@dataclass(frozen=True)
class Sentinel:
    """The walkers of one app by name, or of all apps."""

    name: str
    walkers: Mapping[str, WalkerDefinition]

    @property
    def id(self) -> UUID:
        return sentinel_id(self.name)

    def walker(self, name: str) -> WalkerDefinition:
        try:
            return self.walkers[name]
        except KeyError:
            raise NotFound(f"The sentinel {self.name} has no walker {name[:100]!r}.") from None


_sentinels: dict[str, Sentinel] = {}
_by_id: dict[UUID, Sentinel] = {}


def collect() -> None:
    """Collects the walkers of every installed app, when the program starts and the `walkers` modules are imported."""
    modules = [(config, sys.modules.get(f"{config.name}.walkers")) for config in apps.get_app_configs()]
    install([sentinel_of(config, module) for config, module in modules if module is not None])


def install(sentinels: Iterable[Sentinel]) -> None:
    """Replaces all sentinels by these, in this order, and `global`, which holds their walkers."""
    by_name: dict[str, Sentinel] = {}
    for sentinel in sentinels:
        if by_name.setdefault(sentinel.name, sentinel) is not sentinel:
            raise ImproperlyConfigured(f"Two apps have the sentinel {sentinel.name!r}; name one in its AppConfig.")
    by_name = {name: sentinel for name, sentinel in by_name.items() if sentinel.walkers}
    by_name[GLOBAL] = Sentinel(GLOBAL, _global_walkers(by_name.values()))
    _sentinels.clear()
    _sentinels.update(by_name)
    _by_id.clear()
    _by_id.update({sentinel.id: sentinel for sentinel in by_name.values()})


def sentinel_of(config: AppConfig, module: ModuleType) -> Sentinel:
    """The walkers that `module` itself defines; what it only imports belongs elsewhere."""
    name = getattr(config, "sentinel", config.label)
    if not 0 < len(name) <= NAME_MAX or name == GLOBAL or as_id(name) or ":" in name:
        raise ImproperlyConfigured(f"{config.name} cannot have the sentinel {name!r}.")
    walkers: dict[str, WalkerDefinition] = {}
    for walker_class in _walker_classes(module):
        definition = WalkerDefinition.of(walker_class, name)
        if definition.name in walkers:
            raise ImproperlyConfigured(f"{module.__name__} has two walkers with the name {definition.name!r}.")
        walkers[definition.name] = definition
    return Sentinel(name, walkers)


def _walker_classes(module: ModuleType) -> Iterator[type[Walker]]:
    """Classes with a `visit`; others are there to be inherited from."""
    for value in dict.fromkeys(v for v in vars(module).values() if isinstance(v, type) and issubclass(v, Walker)):
        is_own = value.__module__ == module.__name__ or value.__module__.startswith(f"{module.__name__}.")
        if is_own and getattr_static(value, "visit") is not Walker.visit:
            yield value


def _global_walkers(sentinels: Iterable[Sentinel]) -> dict[str, WalkerDefinition]:
    """Where two sentinels have a walker of one name, the app that is installed first has it; the bundled ones yield."""
    walkers: dict[str, WalkerDefinition] = {}
    for sentinel in sorted(sentinels, key=lambda sentinel: sentinel.name == BUNDLED):
        for name, definition in sentinel.walkers.items():
            walkers.setdefault(name, definition)
    return walkers


def all_sentinels() -> list[Sentinel]:
    """In the order of the installed apps, `global` last."""
    return list(_sentinels.values())


def global_sentinel() -> Sentinel:
    return _sentinels[GLOBAL]


def find_sentinel(name: str) -> Sentinel | None:
    return _sentinels.get(name)


def find_sentinel_by_id(id: UUID) -> Sentinel | None:
    return _by_id.get(id)
