"""Aliases: a user's own names for things, good wherever an id is."""

from typing import Annotated

from pydantic import Field

from taskhub.web.parameter_types import Text
from walkers.http import examples
from walkers.http.calls.objects import visible_object
from walkers.http.pagination import page
from walkers.http.parameters import AliasName, Cursor, Limit
from walkers.http.principal import Caller
from walkers.http.registry import api
from walkers.http.response_types import AliasShown, Done, Page
from walkers.models import Alias
from walkers.services.aliases import delete_alias, register_alias

Target = Annotated[Text, Field(description="What it names: an id, `active:graph`, `active:sentinel` or another alias.")]


@api(problems=(404,), arguments={"name": "shop", "value": "active:graph"}, answer=examples.ALIAS)
def alias_register(caller: Caller, name: AliasName, value: Target) -> AliasShown:
    """Give something a name.

    `active:graph` and the like are looked up now; the alias keeps the object that they mean today. A name that is
    registered again names the new object.
    """
    target = visible_object(caller, value).id
    register_alias(owner=caller.user, name=name, target=target)
    return {"name": name, "jid": target.urn}


@api(reads=True, answer=examples.page(examples.ALIAS))
def alias_list(caller: Caller, limit: Limit = 100, cursor: Cursor = None) -> Page[AliasShown]:
    """List your aliases."""
    aliases = Alias.objects.filter(owner_id=caller.user.pk)
    return page("alias_list", aliases, lambda alias: {"name": alias.name, "jid": alias.target.urn}, limit, cursor)


@api(problems=(404,), arguments={"name": "shop"}, answer=examples.DONE)
def alias_delete(caller: Caller, name: AliasName) -> Done:
    """Forget an alias.

    What it named stays.
    """
    delete_alias(owner=caller.user, name=name)
    return {"success": True}
