"""Aliases: a user's own names for things, good wherever an id is."""

from typing import Annotated

from pydantic import Field

from taskhub.jsontools.field_types import Text
from walkers.domain.ids import NAME_MAX
from walkers.http import examples
from walkers.http.calls.objects import visible_object
from walkers.http.pagination import Cursor, Limit, paginate
from walkers.http.registry import register_call
from walkers.http.response_types import AliasResponse, ResultPage, SuccessResponse
from walkers.models import Alias
from walkers.services.aliases import delete_alias, register_alias
from walkers.walks.principal import Principal

AliasName = Annotated[Text, Field(min_length=1, max_length=NAME_MAX, description="The alias.")]
Target = Annotated[Text, Field(description="What it names: an id, `active:graph`, `active:sentinel` or another alias.")]


@register_call(
    problem_statuses=(404,), example_arguments={"name": "shop", "value": "active:graph"}, example_answer=examples.ALIAS
)
def alias_register(principal: Principal, name: AliasName, value: Target) -> AliasResponse:
    """Give something a name.

    `active:graph` and the like are looked up now; the alias keeps the object that they mean today. A name that is
    registered again names the new object.
    """
    target = visible_object(principal, value).id
    register_alias(owner=principal.user, name=name, target=target)
    return {"name": name, "jid": target.urn}


@register_call(reads=True, example_answer=examples.page(examples.ALIAS))
def alias_list(principal: Principal, limit: Limit = 100, cursor: Cursor = None) -> ResultPage[AliasResponse]:
    """List your aliases."""
    aliases = Alias.objects.filter(owner_id=principal.user.pk)
    return paginate("alias_list", aliases, lambda alias: {"name": alias.name, "jid": alias.target.urn}, limit, cursor)


@register_call(problem_statuses=(404,), example_arguments={"name": "shop"}, example_answer=examples.DONE)
def alias_delete(principal: Principal, name: AliasName) -> SuccessResponse:
    """Forget an alias.

    What it named stays.
    """
    delete_alias(owner=principal.user, name=name)
    return {"success": True}
