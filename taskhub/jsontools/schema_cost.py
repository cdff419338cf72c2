"""The work that a JSON Schema can cause, counted before it is used.

A schema of some hundred characters can keep a validator busy for hours: where `$defs` refer twice to the next, or where
a schema refers twice to itself for each member. So the subschemas that one value of a document is checked against are
counted, with all references followed, and for the worst case: `anyOf` may have to look at every branch.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote, urldefrag, urljoin

from taskhub.jsontools.keyword_costs import count_checks, count_states

COST_MAX = 1000  # subschemas that one value may be checked against
SUBSCHEMAS_MAX = 5000
COUNTING_MAX = 1_000_000  # sums that counting may take, each about a microsecond
_LEVELS = 100  # a document is not nested deeper
_ENOUGH = 10**9  # larger counts are not told apart
_BUNDLED = 50  # what a reference to a schema of the standard costs, which the validator brings with it

_SAME_VALUE = ("not", "if", "then", "else")
_SAME_VALUE_LISTS = ("allOf", "anyOf", "oneOf")
_SAME_VALUE_MAPS = ("dependentSchemas", "dependencies")
_OTHER_MEMBERS = ("additionalProperties", "unevaluatedProperties", "propertyNames")
_ITEMS = ("items", "additionalItems", "contains", "unevaluatedItems")
_HOLDERS = ("$defs", "definitions")

_Label = tuple[str, str]
_ANY: _Label = ("any", "")  # the step from a value to members or items that are not named


class TooCostly(Exception):
    """A schema that can cause too much work; its text says why."""


class SchemaCost(NamedTuple):
    """What one value of a document may cause, wherever in the document it is.

    `subschemas` are those that it may be checked against; `checks` as many checks of a plain subschema as take as long;
    `states` those of automata that look at each character of it, where it is a text.
    """

    subschemas: int
    checks: int
    states: int


def schema_cost(schema: Any) -> SchemaCost:
    """The cost of a schema, which must be valid by its metaschema.

    Raises `TooCostly` for more than `COST_MAX` subschemas for one value, for more than `SUBSCHEMAS_MAX` in all, for a
    reference without an end, and for what takes more than `COUNTING_MAX` sums to count.
    """
    costs = _SchemaCosts(schema)
    subschemas = costs.highest(lambda subschema: 1)
    if subschemas > COST_MAX:
        raise TooCostly(f"One value may be checked against more than {COST_MAX} subschemas.")
    return SchemaCost(subschemas, costs.highest(count_checks), costs.highest(count_states))


class _SchemaCosts:
    """The subschemas of a schema as a graph; a node is the `id()` of one.

    `same_value` leads to subschemas for the same value, with how often each is evaluated; `below` to those for a member
    or an item, by its name. What `order` has first depends on nothing that comes later.
    """

    def __init__(self, schema: Any) -> None:
        self._anchors: dict[str, Any] = {}
        self._dynamic_anchors: dict[str, list[Any]] = defaultdict(list)
        self._recursive_anchors: list[Any] = []
        self._bases: dict[int, str] = {}
        self.root = id(schema)
        self._subschemas: dict[int, Any] = {}
        self._register(schema)
        self.same_value: dict[int, Counter[int]] = {}
        self.below: dict[int, list[tuple[_Label, int]]] = {}
        self.bundled: Counter[int] = Counter()
        self.order = list(self._nodes_in_order(schema))
        self._sums_left = COUNTING_MAX

    def highest(self, own_cost: Callable[[Any], int]) -> int:
        """The cost of the most costly value, where `own_cost` says that of a subschema without those below it."""
        level, highest = self._of_one_value(own_cost), 0
        for _ in range(_LEVELS):
            highest = max(highest, level[self.root])
            below = self._of_values_below(level)
            if below == level:
                break
            level = below
        return highest

    def _of_one_value(self, own_cost: Callable[[Any], int]) -> dict[int, int]:
        """For each node, the cost of a value that is checked against it."""
        costs: dict[int, int] = {}
        for node in self.order:
            others = sum(costs[other] * times for other, times in self.same_value[node].items())
            costs[node] = min(own_cost(self._subschemas[node]) + _BUNDLED * self.bundled[node] + others, _ENOUGH)
        return costs

    def _of_values_below(self, level: Mapping[int, int]) -> dict[int, int]:
        """The same for the most costly member or item of that value; `level` holds the costs of members themselves."""
        sums: dict[int, Counter[_Label]] = {}
        for node in self.order:
            labels: Counter[_Label] = Counter()
            self._sums_left -= len(self.below[node]) + sum(len(sums[other]) for other in self.same_value[node])
            if self._sums_left < 0:
                raise TooCostly("Its references lead to too many members to count the work that they cause.")
            for label, target in self.below[node]:
                labels[label] += level[target]
            for other, times in self.same_value[node].items():
                for label, cost in sums[other].items():
                    labels[label] += min(cost * times, _ENOUGH)
            sums[node] = labels
        return {node: _most_costly(labels) for node, labels in sums.items()}

    def _register(self, schema: Any) -> None:
        """Notes the addresses by which subschemas may be referred to."""
        pending = [(schema, "", "$id")]
        self._anchors[""] = schema
        while pending:
            subschema, base, id_keyword = pending.pop()
            if not isinstance(subschema, dict) or id(subschema) in self._bases:
                continue
            if len(self._bases) >= SUBSCHEMAS_MAX:
                raise TooCostly(f"It has more than {SUBSCHEMAS_MAX} subschemas.")
            if "$schema" in subschema:
                id_keyword = "id" if "/draft-04/" in str(subschema["$schema"]) else "$id"
            if isinstance(address := subschema.get(id_keyword), str):
                base, fragment = urldefrag(urljoin(base, address))
                self._anchors[f"{base}#{fragment}" if fragment else base] = subschema
            self._bases[id(subschema)] = base
            for keyword in ("$anchor", "$dynamicAnchor"):
                if isinstance(name := subschema.get(keyword), str):
                    self._anchors[f"{base}#{name}"] = subschema
            if isinstance(name := subschema.get("$dynamicAnchor"), str):
                self._dynamic_anchors[name].append(subschema)
            if subschema.get("$recursiveAnchor") is True:
                self._recursive_anchors.append(subschema)
            pending += [(other, base, id_keyword) for other in _subschemas(subschema)]

    def _nodes_in_order(self, schema: Any) -> Iterator[int]:
        """Each node behind those that it leads to for the same value. Raises `TooCostly` for a circle of them."""
        starts, open_nodes = [schema], set()
        while starts:
            stack = [(starts.pop(), False)]
            while stack:
                subschema, is_done = stack.pop()
                node = id(subschema)
                if is_done:
                    open_nodes.discard(node)
                    yield node
                    continue
                if node in open_nodes:
                    raise TooCostly("It refers to itself without going down to a member or an item.")
                if node in self.same_value:
                    continue
                self._subschemas[node] = subschema
                same = self._same_value_of(subschema)
                weight = 2 if _looks_twice(subschema) else 1
                self.same_value[node] = Counter()
                for other in same:
                    self.same_value[node][id(other)] += weight
                steps = list(_steps(subschema))
                self.below[node] = [(label, id(other)) for label, other in steps]
                starts += [other for _, other in steps if id(other) not in self.same_value]
                open_nodes.add(node)
                stack.append((subschema, True))
                stack += [(other, False) for other in same]

    def _same_value_of(self, schema: Any) -> list[Any]:
        if not isinstance(schema, dict):
            return []
        found = [schema[keyword] for keyword in _SAME_VALUE if keyword in schema]
        for keyword in _SAME_VALUE_LISTS:
            found += schema.get(keyword, ())
        for keyword in _SAME_VALUE_MAPS:
            found += [other for other in schema.get(keyword, {}).values() if not isinstance(other, list)]
        if "$ref" in schema:
            found += self._referred(schema, schema["$ref"])
        if "$dynamicRef" in schema:
            name = urldefrag(schema["$dynamicRef"]).fragment
            found += self._dynamic_anchors.get(name) or self._referred(schema, schema["$dynamicRef"])
        if "$recursiveRef" in schema:
            found += self._recursive_anchors or self._referred(schema, schema["$recursiveRef"])
        return found

    def _referred(self, schema: dict[str, Any], reference: str) -> list[Any]:
        address, fragment = urldefrag(urljoin(self._bases.get(id(schema), ""), reference))
        if not fragment.startswith("/"):
            subschema = self._anchors.get(f"{address}#{fragment}" if fragment else address)
        else:
            subschema = self._anchors.get(address)
            for part in unquote(fragment)[1:].split("/"):
                part = part.replace("~1", "/").replace("~0", "~")
                if isinstance(subschema, list):
                    subschema = subschema[int(part)] if part.isdecimal() and int(part) < len(subschema) else None
                else:
                    subschema = subschema.get(part) if isinstance(subschema, dict) else None
        if subschema is None:
            self.bundled[id(schema)] += 1
            return []
        return [subschema]


def _steps(schema: Any) -> Iterator[tuple[_Label, Any]]:
    """Subschemas for members and items, each with which member or item it is for."""
    if not isinstance(schema, dict):
        return
    for name, other in schema.get("properties", {}).items():
        yield ("member", name), other
    for other in schema.get("patternProperties", {}).values():
        yield _ANY, other
    for keyword in _OTHER_MEMBERS:
        if keyword in schema:
            yield _ANY, schema[keyword]
    for keyword in (*_ITEMS, "prefixItems"):
        others = schema.get(keyword, [])
        if isinstance(others, list):
            for number, other in enumerate(others):
                yield ("item", str(number)), other
        else:
            yield _ANY, others


def _subschemas(schema: dict[str, Any]) -> Iterator[Any]:
    for keyword in _SAME_VALUE:
        yield schema.get(keyword)
    for keyword in _SAME_VALUE_LISTS:
        yield from schema.get(keyword, ())
    for keyword in (*_SAME_VALUE_MAPS, *_HOLDERS):
        yield from schema.get(keyword, {}).values()
    for _, other in _steps(schema):
        yield other


def _looks_twice(schema: Any) -> bool:
    """To know what others have evaluated, the validator evaluates them once more."""
    return isinstance(schema, dict) and ("unevaluatedProperties" in schema or "unevaluatedItems" in schema)


def _most_costly(labels: Counter[_Label]) -> int:
    others = labels[_ANY]
    return min(max((cost for label, cost in labels.items() if label != _ANY), default=0) + others, _ENOUGH)
