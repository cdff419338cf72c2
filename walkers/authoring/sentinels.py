"""Which walkers there are. A sentinel is the named set of walkers that one Django app contributes."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from uuid import UUID

from django.apps import AppConfig, apps
from django.core.exceptions import ImproperlyConfigured

from taskhub.errors import NotFound
from walkers.authoring.walker import Definition, Walker
from walkers.domain.ids import GLOBAL, NAME_MAX, as_id, sentinel_id

BUNDLED = "taskhub"


@dataclass(frozen=True)
class Sentinel:
    name: str
    walkers: Mapping[str, Definition]

    @property
    def id(self) -> UUID:
        return sentinel_id(self.name)

    def walker(self, name: str) -> Definition:
        try:
            return self.walkers[name]
        except KeyError:
            raise NotFound(f"The sentinel {self.name} has no walker {name[:100]!r}.") from None


_sentinels: dict[str, Sentinel] = {}
_by_id: dict[UUID, Sentinel] = {}


def collect() -> None:
    """Reads the walkers of every installed app; at the start, once the apps' `walkers` modules are imported."""
    modules = [(config, sys.modules.get(f"{config.name}.walkers")) for config in apps.get_app_configs()]
    install([sentinel_of(config, module) for config, module in modules if module is not None])


def install(found: Iterable[Sentinel]) -> None:
    """These sentinels, in this order, and `global` are all there are."""
    by_name: dict[str, Sentinel] = {}
    for sentinel in found:
        if by_name.setdefault(sentinel.name, sentinel) is not sentinel:
            raise ImproperlyConfigured(f"Two apps have the sentinel {sentinel.name!r}; name one in its AppConfig.")
    by_name = {name: sentinel for name, sentinel in by_name.items() if sentinel.walkers}
    by_name[GLOBAL] = Sentinel(GLOBAL, _all_of(by_name))
    _sentinels.clear()
    _sentinels.update(by_name)
    _by_id.clear()
    _by_id.update({sentinel.id: sentinel for sentinel in by_name.values()})


def sentinel_of(config: AppConfig, module: ModuleType) -> Sentinel:
    """The walkers that `module` itself defines; what it only imports belongs elsewhere."""
    name = getattr(config, "sentinel", config.label)
    if not 0 < len(name) <= NAME_MAX or name == GLOBAL or as_id(name) or ":" in name:
        raise ImproperlyConfigured(f"{config.name} cannot have the sentinel {name!r}.")
    walkers: dict[str, Definition] = {}
    for author in _authored(module):
        definition = Definition.of(author, name)
        if definition.name in walkers:
            raise ImproperlyConfigured(f"{module.__name__} has two walkers with the name {definition.name!r}.")
        walkers[definition.name] = definition
    return Sentinel(name, walkers)


def _authored(module: ModuleType) -> Iterator[type[Walker]]:
    """Classes with a `visit`; others are there to be inherited from."""
    for value in dict.fromkeys(v for v in vars(module).values() if isinstance(v, type) and issubclass(v, Walker)):
        inside = value.__module__ == module.__name__ or value.__module__.startswith(f"{module.__name__}.")
        if inside and value.visit is not Walker.visit:
            yield value


def _all_of(found: Mapping[str, Sentinel]) -> dict[str, Definition]:
    """Where two sentinels have a walker of one name, the app that is installed first has it; the bundled ones yield."""
    walkers: dict[str, Definition] = {}
    for sentinel in sorted(found.values(), key=lambda sentinel: sentinel.name == BUNDLED):
        for name, definition in sentinel.walkers.items():
            walkers.setdefault(name, definition)
    return walkers


def every() -> list[Sentinel]:
    """`global` last."""
    return list(_sentinels.values())


def global_sentinel() -> Sentinel:
    return _sentinels[GLOBAL]


def named(name: str) -> Sentinel | None:
    return _sentinels.get(name)


def with_id(id: UUID) -> Sentinel | None:
    return _by_id.get(id)
