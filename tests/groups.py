"""Groups of tests that share a hub: they run in one process, and the hub ends with the last of them."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from xdist.scheduler import LoadGroupScheduling
from xdist.workermanage import WorkerController

SHARED = ("hub", "_disposable")  # fixtures of the whole session: a hub that nobody needs takes time from the others
# What takes minutes whatever the number of its tests: what begins last would go on alone.
LONGEST = ("hub", "starts", "faults", "up", "restarts", "tests/faults/test_openapi.py")

_left: Counter[str] = Counter()  # tests of each group that are still to end
_users: defaultdict[str, set[str]] = defaultdict(set)  # the groups that a shared fixture is there for


class MixedScheduling(LoadGroupScheduling):  # type: ignore[misc]  # xdist has no types
    """Half of the test processes have tests of no group, which compute; the others have groups, which wait for hubs.

    xdist alone begins with all groups: then the processors have little to do, and in the end too much. Tests of no
    group are distributed by file: what the tests of a file share is made once, not once in each process.
    """

    def __init__(self, config: pytest.Config, log: Any = None) -> None:
        super().__init__(config, log)
        self._groups: dict[WorkerController, dict[str, bool]] = {}  # each process's last: its tests, and which are done

    def _assign_work_unit(self, node: WorkerController) -> None:
        others = [group for other, group in self._groups.items() if other is not node and not all(group.values())]
        wanted = is_file if len(others) >= (len(self.nodes) + 1) // 2 else is_group
        scope = min(filter(wanted, self.workqueue), key=place_of, default=next(iter(self.workqueue)))
        self.workqueue.move_to_end(scope, last=False)
        if is_group(scope):
            self._groups[node] = self.workqueue[scope]
        super()._assign_work_unit(node)

    def _split_scope(self, nodeid: str) -> str:
        """The group of a test, or its file."""
        return str(super()._split_scope(nodeid)).partition("::")[0]


def place_of(scope: str) -> int:
    """Its place among those that begin first; of all others xdist has those with the most tests first."""
    return LONGEST.index(scope) if scope in LONGEST else len(LONGEST)


def is_file(scope: str) -> bool:
    return scope.endswith(".py")


def is_group(scope: str) -> bool:
    return not is_file(scope)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadGroupScheduling | None:
    return MixedScheduling(config, log) if config.getoption("dist") == "loadgroup" else None


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Long values are named by their length: names of tests are sent, and printed, several times each."""
    return f"{argname} of {len(val)}" if isinstance(val, str | bytes) and len(val) > 200 else None


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "hub" in _fixtures(item) and not group_of(item):
            item.add_marker(pytest.mark.xdist_group("hub"))


def pytest_collection_finish(session: pytest.Session) -> None:
    _left.update(map(group_of, session.items))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    group, shared = group_of(item), [name for name in SHARED if name in _fixtures(item)]
    for name in shared:
        _users[name].add(group)
    _left[group] -= 1
    yield
    for name in shared:
        if not any(_left[user] for user in _users[name]):
            _users.pop(name)
            for definition in item._fixtureinfo.name2fixturedefs[name]:  # type: ignore[attr-defined] # no public name
                definition.finish(item._request)  # type: ignore[attr-defined]


def group_of(item: pytest.Item) -> str:
    mark = item.get_closest_marker("xdist_group")
    return str(mark.args[0]) if mark else ""


def _fixtures(item: pytest.Item) -> list[str]:
    return getattr(item, "fixturenames", [])
