"""Where in a walker's own code an exception came up."""

import re
from types import TracebackType

from taskhub.error_texts import storable
from walkers.authoring.walker import Walker

# What stands between the hub and the author's code: walks, their event loop, and what they are made with.
_MODULES_BETWEEN = re.compile(r"(walkers\.(walks|authoring)|contextlib|asyncio)(\.|$)")
WHERE_MAX = 300


def author_traceback(error: BaseException) -> TracebackType | None:
    """The traceback from the author's first line on; None where only the hub's code was running."""
    traceback = error.__traceback__
    while traceback is not None and _MODULES_BETWEEN.match(_module_of(traceback)):
        traceback = traceback.tb_next
    return traceback


def where_of(error: BaseException, walker_class: type[Walker]) -> str:
    """The innermost line in the walker's package, such as `shop.walkers:12 in Order.visit`, else in what it called;
    empty where there is none."""
    packages = {module.partition(".")[0] for module in (walker_class.__module__, walker_class.visit.__module__)}
    traceback, found = author_traceback(error), None
    while traceback is not None:
        is_own = _module_of(traceback).partition(".")[0] in packages
        if not _MODULES_BETWEEN.match(_module_of(traceback)) and (is_own or found is None):
            found = traceback
        traceback = traceback.tb_next
    if found is None:
        return ""
    name = found.tb_frame.f_code.co_qualname.replace(".<locals>", "")
    return storable(f"{_module_of(found)}:{found.tb_lineno} in {name}"[:WHERE_MAX])


def _module_of(traceback: TracebackType) -> str:
    return str(traceback.tb_frame.f_globals.get("__name__", ""))
