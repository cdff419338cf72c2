"""The bodies of responses as types; the schemas of the OpenAPI document are made of them."""

from typing import Any, Generic, Literal, NotRequired, TypeVar

from typing_extensions import TypedDict

from taskhub.runs.scheduler.schedule_spec import ScheduleSpec

Row = TypeVar("Row")


class ResultPage(TypedDict, Generic[Row]):
    """`next` and `previous` are addresses, or null at the end."""

    results: list[Row]
    next: str | None
    previous: str | None


class WalkReport(TypedDict):
    """The result of a walk. `status` is there when the walker set it."""

    success: bool
    report: list[Any]
    final_node: str
    yielded: bool
    status: NotRequired[int]


class QueuedResponse(TypedDict):
    """`result` is the task id, as is `task_id`."""

    is_queued: Literal[True]
    result: str
    task_id: str


class RunAtOnceResponse(TypedDict):
    """It was to run in the background, and no worker would have heard of it."""

    is_queued: Literal[False]
    result: WalkReport
    task_id: str


class TaskError(TypedDict):
    """`where`: the line in the walker's code that failed."""

    type: str
    message: str
    where: NotRequired[str]


class WalkFailedProblem(TypedDict):
    """A problem of the type `walker-failed`: `report` is as far as it came, `task_id` of a walk in the background."""

    type: Literal["walker-failed"]
    title: str
    status: int
    detail: str
    errors: list[Any]
    success: Literal[False]
    report: list[Any]
    final_node: str | None
    error: TaskError
    task_id: NotRequired[str]


class TaskProgress(TypedDict):
    done: float
    total: float | None
    message: str


class TaskStatus(TypedDict):
    """The state of a task; what is unknown is left out."""

    state: Literal["PENDING", "STARTED", "PROGRESS", "RETRY", "SUCCESS", "FAILURE", "REVOKED"]
    result: NotRequired[Any]
    error: NotRequired[TaskError]
    progress: NotRequired[TaskProgress]
    started_at: NotRequired[str]
    finished_at: NotRequired[str]


class QueueEntry(TypedDict):
    id: str
    task_id: str
    name: str
    kind: str
    state: str
    created_at: str
    eta: NotRequired[str]
    started_at: NotRequired[str]


class QueueResponse(TypedDict):
    """Tasks that have not ended, by the name of a worker."""

    scheduled: dict[str, list[QueueEntry]]
    active: dict[str, list[QueueEntry]]
    reserved: dict[str, list[QueueEntry]]


class WalkerResponse(TypedDict):
    """`schema` is the JSON Schema of `ctx`; `time_limit` is in seconds."""

    name: str
    sentinel: str
    description: str
    atomic: bool
    time_limit: float
    schema: dict[str, Any]


class SentinelResponse(TypedDict):
    jid: str
    type: Literal["sentinel"]
    name: str
    walkers: list[str]
    active: NotRequired[bool]


class GraphResponse(TypedDict):
    """`active`: whether it is the caller's active graph."""

    jid: str
    type: Literal["graph"]
    name: str
    owner: str
    created_at: str
    active: NotRequired[bool]


class NodeResponse(TypedDict):
    """`type` is `graph` for a graph's root."""

    jid: str
    type: Literal["node", "graph"]
    kind: str
    context: dict[str, Any]
    graph: NotRequired[str]
    created_at: NotRequired[str]


class EdgeResponse(TypedDict):
    jid: str
    type: Literal["edge"]
    kind: str
    source: str
    target: str
    context: dict[str, Any]
    graph: NotRequired[str]
    created_at: NotRequired[str]


class GraphContents(GraphResponse):
    """`next` and `previous` lead to more nodes, with the edges that leave them."""

    nodes: list[NodeResponse]
    edges: list[EdgeResponse]
    next: str | None
    previous: str | None


class AliasResponse(TypedDict):
    name: str
    jid: str


class SuccessResponse(TypedDict):
    success: Literal[True]
    jid: NotRequired[str]


class UserResponse(TypedDict):
    id: str
    jid: str
    type: Literal["user"]
    name: str
    email: str
    active_gph_id: str
    created_at: NotRequired[str]
    is_staff: NotRequired[bool]
    is_active: NotRequired[bool]


class ListedUser(TypedDict):
    id: str
    user: str
    jid: str
    name: str
    active_gph_id: str
    created_date: str
    is_activated: bool
    is_staff: bool
    is_superuser: bool


class UserListResponse(TypedDict):
    total: int
    data: list[ListedUser]


class ScheduleResponse(TypedDict):
    """`next_fire` is null for what will not fire; `fault` says why it cannot, or is empty."""

    id: int
    name: str
    task: str
    owner: str | None
    schedule: ScheduleSpec
    enabled: bool
    next_fire: str | None
    fault: str
    body: Any
    last_run: str | None
