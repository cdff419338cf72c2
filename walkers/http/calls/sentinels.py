"""Sentinels: listed, and one of them made the active one."""

from typing import Annotated

from pydantic import Field

from taskhub.jsontools.field_types import Text
from walkers.authoring.sentinels import all_sentinels
from walkers.domain.ids import GLOBAL
from walkers.http import examples, serializers
from walkers.http.registry import register_call
from walkers.http.response_types import ResultPage, SentinelResponse
from walkers.walks.principal import Principal, activate_sentinel

SentinelRef = Annotated[Text, Field(description="A sentinel: an id, an alias, a name, `global` or `active:sentinel`.")]


@register_call(reads=True, example_answer=examples.page(examples.SENTINEL))
def sentinel_list(principal: Principal) -> ResultPage[SentinelResponse]:
    """List sentinels.

    Each is the named set of walkers that one app contributes; `global` holds all.
    """
    active = principal.sentinel(None).id
    return serializers.whole_list(
        [serializers.serialize_sentinel(sentinel, active=active) for sentinel in all_sentinels()]
    )


@register_call(problem_statuses=(404,), example_arguments={"snt": "taskhub"}, example_answer=examples.SENTINEL)
def sentinel_active_set(principal: Principal, snt: SentinelRef) -> SentinelResponse:
    """Set the active sentinel.

    It is meant where a call names none. `global`, where every walker is found, is active until another is set.
    """
    sentinel = principal.sentinel(snt)
    activate_sentinel(user=principal.user, name="" if sentinel.name == GLOBAL else sentinel.name)
    return serializers.serialize_sentinel(sentinel, active=sentinel.id)


@register_call(reads=True, problem_statuses=(404,), example_answer=examples.SENTINEL)
def sentinel_active_get(principal: Principal) -> SentinelResponse:
    """Show the active sentinel."""
    sentinel = principal.sentinel(None)
    return serializers.serialize_sentinel(sentinel, active=sentinel.id)
