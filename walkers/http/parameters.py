"""Types of parameters that several calls of walkers have."""

from typing import Annotated

from pydantic import Field

from taskhub.web.parameter_types import Text
from walkers.domain.ids import NAME_MAX

WalkerName = Annotated[Text, Field(description="The walker's name.")]
SentinelRef = Annotated[Text, Field(description="A sentinel: an id, an alias, a name, `global` or `active:sentinel`.")]
GraphRef = Annotated[Text, Field(description="A graph: an id, an alias or `active:graph`.")]
ObjectRef = Annotated[Text, Field(description="An id, an alias, `active:graph` or `active:sentinel`.")]
AliasName = Annotated[Text, Field(min_length=1, max_length=NAME_MAX, description="The alias.")]
TaskId = Annotated[Text, Field(description="What `walker_run` called `task_id`.")]
Detailed = Annotated[bool, Field(description="With times, and whom or what it belongs to.")]

Limit = Annotated[int, Field(ge=1, le=1000, description="How many at most.")]
Cursor = Annotated[
    str | None, Field(pattern="^[<>][0-9a-f]{32}$", description="As in `next` or `previous` of another page.")
]
