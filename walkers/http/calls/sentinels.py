"""Sentinels: which there are, and which is meant when none is named."""

from walkers.authoring import sentinels
from walkers.domain.ids import GLOBAL
from walkers.http import examples, serializers
from walkers.http.parameters import SentinelRef
from walkers.http.principal import Caller
from walkers.http.registry import api
from walkers.http.response_types import Page, SentinelShown
from walkers.services import profiles


@api(reads=True, answer=examples.page(examples.SENTINEL))
def sentinel_list(caller: Caller) -> Page[SentinelShown]:
    """List sentinels.

    Each is the named set of walkers that one app contributes; `global` holds all.
    """
    active = caller.sentinel(None).id
    return serializers.whole_list([serializers.sentinel_of(sentinel, active=active) for sentinel in sentinels.every()])


@api(problems=(404,), arguments={"snt": "taskhub"}, answer=examples.SENTINEL)
def sentinel_active_set(caller: Caller, snt: SentinelRef) -> SentinelShown:
    """Set the active sentinel.

    It is meant where a call names none. `global`, where every walker is found, is active until another is set.
    """
    sentinel = caller.sentinel(snt)
    profiles.activate_sentinel(user=caller.user, name="" if sentinel.name == GLOBAL else sentinel.name)
    return serializers.sentinel_of(sentinel, active=sentinel.id)


@api(reads=True, problems=(404,), answer=examples.SENTINEL)
def sentinel_active_get(caller: Caller) -> SentinelShown:
    """Show the active sentinel."""
    sentinel = caller.sentinel(None)
    return serializers.sentinel_of(sentinel, active=sentinel.id)
