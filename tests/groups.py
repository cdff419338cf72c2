"""Groups of tests that share a hub: they run in one process, and the hub ends with the last of them."""

from collections import Counter, defaultdict
from collections.abc import Iterator

import pytest

SHARED = ("hub", "_disposable")  # fixtures of the whole session: a hub that nobody needs takes time from the others

_left: Counter[str] = Counter()  # tests of each group that are still to end
_users: defaultdict[str, set[str]] = defaultdict(set)  # the groups that a shared fixture is there for


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
