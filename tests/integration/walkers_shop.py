"""An app with walkers, as a newcomer would write one, installed for the time of a test."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from taskhub.web.openapi.document import make_document
from walkers.authoring import sentinels
from walkers.authoring.walker import Walker


class Shop:
    """What Django's AppConfig is to the hub."""

    name = "shop"
    label = "shop"


class Elsewhere(Shop):
    sentinel = "elsewhere"


@contextmanager
def installed(*walkers: type[Walker], config: Any = Shop, source: str = "") -> Iterator[ModuleType]:
    """Installs the walkers, or those of a source text, after the bundled ones."""
    module = ModuleType(f"{config.name}.walkers")
    shadowed = sys.modules.get(module.__name__)
    sys.modules[module.__name__] = module
    exec(compile(source, "shop/walkers.py", "exec"), vars(module))
    for walker in walkers:
        walker.__module__ = module.__name__
        setattr(module, walker.__name__, walker)
    before = [sentinel for sentinel in sentinels.all_sentinels() if sentinel.name != "global"]
    try:
        sentinels.install([*before, sentinels.sentinel_of(config, module)])
        make_document.cache_clear()
        yield module
    finally:
        sentinels.install(before)
        make_document.cache_clear()
        sys.modules.pop(module.__name__)
        sys.modules.update({module.__name__: shadowed} if shadowed else {})
