"""Users: the one who calls, and for staff everybody."""

from typing import Annotated

from django.db.models import Q
from pydantic import Field

from taskhub.accounts.models import User
from taskhub.jsontools.field_types import Text
from walkers.http import examples, serializers
from walkers.http.registry import register_call
from walkers.http.response_types import UserListResponse, UserResponse
from walkers.walks.principal import Principal, active_graphs

COUNT_MAX = 2**31 - 1
USER = {
    "id": examples.USER_ID,
    "user": "dummy@dummy.com",
    "jid": f"urn:uuid:{examples.USER_ID}",
    "name": "Dummy",
    "active_gph_id": examples.JID,
    "created_date": examples.WHEN,
    "is_activated": True,
    "is_staff": False,
    "is_superuser": False,
}


@register_call(reads=True, example_answer=examples.ME)
def master_self(principal: Principal, detailed: serializers.Detailed = False) -> UserResponse:
    """Show who you are."""
    return serializers.serialize_user(principal.user, principal.active_context.graph_id, detailed=detailed)


@register_call(
    scope="admin", reads=True, example_arguments={"limit": 0, "offset": 0}, example_answer={"total": 1, "data": [USER]}
)
def master_allusers(
    principal: Principal,
    limit: Annotated[int, Field(ge=0, le=COUNT_MAX, description="How many at most; 0 is all.")] = 10,
    offset: Annotated[int, Field(ge=0, le=COUNT_MAX, description="How many to leave out first.")] = 0,
    asc: Annotated[bool, Field(description="Oldest first instead of newest.")] = False,
    search: Annotated[Text | None, Field(max_length=254, description="Part of the e-mail address or the name.")] = None,
) -> UserListResponse:
    """List all users.

    `total` counts those that are found; `active_gph_id` can be given as `nd` or `obj`.
    """
    users = User.objects.all()
    if search:
        users = users.filter(Q(email__icontains=search) | Q(name__icontains=search))
    order = ("date_joined", "pk") if asc else ("-date_joined", "-pk")
    page = list(users.order_by(*order)[offset : offset + limit if limit else None])
    graphs = active_graphs(user_ids=[user.pk for user in page])
    return {"total": users.count(), "data": [serializers.serialize_listed_user(user, graphs[user.pk]) for user in page]}
