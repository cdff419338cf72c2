"""What a class says about its walker."""

import functools
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
from django.core.exceptions import ImproperlyConfigured
from pydantic import Field

from taskhub.errors import Rejected
from tests.integration.walkers_shop import Elsewhere, Shop, installed
from walkers.authoring import sentinels
from walkers.authoring.sentinels import WalkerDefinition
from walkers.authoring.walker import Walker
from walkers.domain.ids import sentinel_id


@dataclass
class FakeWalk:
    ctx: dict[str, Any]
    status: int | None = None


def made(author: type[Walker], **ctx: Any) -> Any:
    definition = WalkerDefinition.of(author, "shop")
    return definition.create_walker(FakeWalk(definition.ctx_schema.check_json(ctx)))  # type: ignore[arg-type]


class Visiting(Walker):
    def visit(self, here: Any) -> None:
        """Nothing."""


@pytest.mark.parametrize(
    ("written", "name"),
    [("Echo", "echo"), ("GetBotset", "get_botset"), ("HTTPServer", "http_server"), ("Get2Things", "get2_things")],
)
def test_the_name_is_the_classs_in_snake_case(written: str, name: str) -> None:
    assert WalkerDefinition.of(type(written, (Visiting,), {}), "shop").name == name


def test_the_name_can_be_given() -> None:
    assert WalkerDefinition.of(type("X", (Visiting,), {"name": "order.new-2"}), "shop").name == "order.new-2"
    with pytest.raises(ImproperlyConfigured, match="order/new"):
        WalkerDefinition.of(type("X", (Visiting,), {"name": "order/new"}), "shop")


def test_annotations_are_fields_and_all_else_is_not() -> None:
    class Order(Visiting):
        """Orders.

        Things.
        """

        item: str
        count: int = 1
        many: list[str] = Field(default_factory=list, max_length=2)
        kept: ClassVar[int] = 5
        time_limit = 60
        own = "mine"

    definition = WalkerDefinition.of(Order, "shop")
    assert definition.ctx_schema.names == ("item", "count", "many")
    assert definition.description == "Orders.\n\nThings."
    assert (definition.time_limit, definition.atomic) == (60, True)
    walker = made(Order, item="tea")
    assert (walker.item, walker.count, walker.many, walker.own) == ("tea", 1, [], "mine")


@pytest.mark.parametrize("kind", [ClassVar[float], ClassVar, "ClassVar[float]", "typing.ClassVar[float]"])
def test_an_option_may_be_annotated_as_one(kind: Any) -> None:
    author: Any = type("Quick", (Visiting,), {"__annotations__": {"time_limit": kind}, "time_limit": 1.5})
    assert author.time_limit == 1.5


def test_fields_are_inherited() -> None:
    class First(Visiting):
        item: str
        count: int = 1

    class Second(First):
        count: int = 2
        color: str = "red"

    assert WalkerDefinition.of(Second, "shop").ctx_schema.names == ("item", "count", "color")
    assert made(Second, item="tea").count == 2


def test_a_field_named_like_something_of_walkers_stands_in_ctx_and_does_no_harm() -> None:
    names = [name for name in vars(Walker) if not name.startswith("__")]
    names.remove("visit")
    members = {"__annotations__": dict.fromkeys(names, int), **dict.fromkeys(names, 7)}
    walker = made(type("Odd", (Visiting,), members))
    assert walker.ctx == dict.fromkeys(names, 7)
    walker.status = 201
    assert walker.status == 201
    assert callable(walker.report)
    assert type(walker).time_limit is None
    assert WalkerDefinition.of(type(walker), "shop").name == "odd"


def test_a_field_may_have_an_alias() -> None:
    class Order(Visiting):
        kind: str = Field(alias="class")

    assert made(Order, **{"class": "tea"}).kind == "tea"


def test_defaults_are_not_shared_between_walks() -> None:
    class Order(Visiting):
        tags: list[str] = []

    made(Order).tags.append("x")
    assert made(Order).tags == []


def test_annotations_may_be_texts() -> None:
    source = "\n".join(
        [
            "from __future__ import annotations",
            "from walkers.walker import Walker",
            "class Later(Walker):",
            "    item: Item",
            "    def visit(self, here): ...",
            "class Item(__import__('pydantic').BaseModel):",
            "    price: int",
        ]
    )
    with installed(source=source):
        later = sentinels.global_sentinel().walker("later")
        assert later.ctx_schema.check_json({"item": {"price": 3}})["item"].price == 3
        with pytest.raises(Rejected):
            later.ctx_schema.check_json({"item": {"price": "3"}})


def test_an_annotation_that_is_not_defined_stops_the_start() -> None:
    source = "from walkers.walker import Walker\nclass X(Walker):\n    a: 'Nothing'\n    def visit(self, here): ...\n"
    with pytest.raises(ImproperlyConfigured, match="Nothing"), installed(source=source):
        """Never reached."""


# Methods


class Callable:
    def __call__(self, *_: Any) -> None: ...


def given(*_: Any) -> None: ...


def swallowing(function: Any) -> Any:
    """A decorator that gives an object with the function's name."""
    return functools.update_wrapper(Callable(), function)


class Meta(type):
    visit = given


@pytest.mark.parametrize(
    ("method", "found", "fault"),
    [
        ("visit", staticmethod(given), "visit is a staticmethod"),
        ("visit", classmethod(given), "visit is a classmethod"),
        ("visit", property(given), "visit is a property"),
        ("visit", functools.cached_property(given), "visit is a cached_property"),
        ("visit", functools.partial(given), "visit is a partial"),
        ("visit", functools.partialmethod(given), "visit is a partialmethod"),
        ("visit", functools.lru_cache(given), "visit is a _lru_cache_wrapper"),
        ("visit", swallowing(given), "visit is a Callable"),
        ("visit", Callable, "visit is a type"),
        ("visit", print, "visit is a builtin_function_or_method"),
        ("visit", None, "visit is a NoneType"),
        ("visit", "visit", "visit is a str"),
        ("visit", lambda self: None, "visit must be called with self and here"),
        ("visit", lambda self, here, there: None, "visit must be called with self and here"),
        ("visit", lambda self, *, here: None, "visit must be called with self and here"),
        ("finish", staticmethod(given), "finish is a staticmethod"),
        ("finish", lambda: None, "finish must be called with self"),
    ],
)
def test_what_is_no_plain_method_stops_the_start_and_is_named_with_its_place(
    method: str, found: Any, fault: str
) -> None:
    author: Any = type("Odd", (Visiting,), {method: found})
    with pytest.raises(ImproperlyConfigured, match=fault) as refusal, installed(author):
        """Never reached."""
    assert "'odd' (shop.walkers.Odd" in str(refusal.value)


def test_the_place_is_the_file_and_the_line_of_the_class() -> None:
    class Odd(Walker):
        visit = property(given)

    with pytest.raises(ImproperlyConfigured, match=r"Odd, .*test_walkers_class\.py:\d+\)"):
        WalkerDefinition.of(Odd, "shop")


@pytest.mark.parametrize(
    "method", [given, lambda self, here: None, lambda self, here, more=1: None, functools.wraps(print)(given)]
)
def test_any_function_that_takes_a_node_is_a_visit(method: Any) -> None:
    assert WalkerDefinition.of(type("Fine", (Walker,), {"visit": method}), "shop").name == "fine"


# Sentinels


def walker(name: str) -> type[Walker]:
    return type(name.title(), (Visiting,), {"name": name})


def test_a_sentinel_is_named_like_the_app_or_as_its_config_says() -> None:
    with installed(walker("a")):
        assert sentinels.find_sentinel("shop") is sentinels.find_sentinel_by_id(sentinel_id("shop")) is not None
    with installed(walker("a"), config=Elsewhere):
        assert sentinels.find_sentinel("elsewhere") is not None
        assert sentinels.find_sentinel("shop") is None
    assert [sentinel.name for sentinel in sentinels.all_sentinels()] == ["taskhub", "global"]


def test_two_walkers_of_one_name_stop_the_start() -> None:
    with (
        pytest.raises(ImproperlyConfigured, match="'same'"),
        installed(walker("same"), type("Other", (walker("same"),), {})),
    ):
        """Never reached."""


def test_two_apps_with_one_sentinel_stop_the_start() -> None:
    with installed(walker("a")), pytest.raises(ImproperlyConfigured, match="'shop'"), installed(walker("b")):
        """Never reached."""


@pytest.mark.parametrize("name", ["global", "", "active:x", "d6851f2a-e4a1-4fca-b582-9db5e146af59", "x" * 201])
def test_a_sentinel_has_no_name_that_means_something_else(name: str) -> None:
    config = type("Config", (Shop,), {"sentinel": name})
    with pytest.raises(ImproperlyConfigured, match="cannot have the sentinel"), installed(walker("a"), config=config):
        """Never reached."""


def test_global_holds_all_and_the_bundled_ones_yield() -> None:
    mine, other = walker("echo"), walker("echo")
    with installed(mine, walker("only")):
        assert sentinels.global_sentinel().walker("echo").walker_class is mine
        assert sentinels.global_sentinel().walker("only").sentinel == "shop"
        assert sentinels.global_sentinel().walker("pause").sentinel == "taskhub"
        with installed(other, config=type("Later", (Elsewhere,), {"name": "later"})):
            assert sentinels.global_sentinel().walker("echo").walker_class is mine


def test_what_a_module_imports_is_not_its_own_and_classes_without_visit_are_no_walkers() -> None:
    source = (
        "from walkers.walkers import Echo\nfrom walkers.walker import Walker\nclass Mixin(Walker):\n    a: int = 1\n"
    )
    with installed(source=source):
        assert sentinels.find_sentinel("shop") is None
