"""Examples of the answers of the calls, as the OpenAPI document shows them."""

from typing import Any

ID = "0190a6d4-3c1e-7c3a-9b6e-5a1d2f4c8e70"
JID = f"urn:uuid:{ID}"
USER_ID = "d6851f2a-e4a1-4fca-b582-9db5e146af59"
WHEN = "2026-01-31T12:00:00Z"


def page(*results: Any) -> dict[str, Any]:
    return {"results": list(results), "next": None, "previous": None}


DONE = {"success": True}
ALIAS = {"name": "shop", "jid": JID}
GRAPH = {
    "jid": JID,
    "type": "graph",
    "name": "my shop",
    "owner": f"urn:uuid:{USER_ID}",
    "created_at": WHEN,
    "active": True,
}
ROOT = {"jid": JID, "type": "graph", "kind": "root", "context": {"color": "green"}}
NODE = {
    "jid": "urn:uuid:0190a6d4-3c1e-7d01-8f3b-2c4d6e8f9a10",
    "type": "node",
    "kind": "shelf",
    "context": {"height": 2},
}
EDGE = {
    "jid": "urn:uuid:0190a6d4-3c1e-7d02-a1b2-c3d4e5f60718",
    "type": "edge",
    "kind": "holds",
    "source": JID,
    "target": NODE["jid"],
    "context": {},
}
WHOLE_GRAPH = {
    **{name: value for name, value in GRAPH.items() if name != "active"},
    "nodes": [NODE, ROOT],
    "edges": [EDGE],
    "next": None,
    "previous": None,
}
SENTINEL = {
    "jid": "urn:uuid:2dd40871-d7f2-5e5b-8e5d-8b2f3f7f6f0c",
    "type": "sentinel",
    "name": "taskhub",
    "walkers": ["echo", "fail", "get_botset", "pause", "run"],
    "active": True,
}
WALKER = {
    "name": "echo",
    "sentinel": "taskhub",
    "description": "Reports its value.",
    "atomic": True,
    "time_limit": 3600.0,
    "schema": {"title": "Echo", "type": "object", "properties": {"value": {"title": "Value", "default": None}}},
}
ME = {
    "id": USER_ID,
    "jid": f"urn:uuid:{USER_ID}",
    "type": "user",
    "name": "Ada",
    "email": "ada@example.com",
    "active_gph_id": JID,
}
SCHEDULE = {
    "id": 7,
    "name": "every hour",
    "task": "walkers.tasks.ScheduledWalker",
    "owner": f"urn:uuid:{USER_ID}",
    "schedule": {"type": "interval", "conf": {"every": 1, "period": "hours"}, "one_off": False},
    "enabled": True,
    "next_fire": WHEN,
    "fault": "",
    "body": {"name": "run", "ctx": {}},
    "last_run": None,
}
QUEUED = {"is_queued": True, "result": ID, "task_id": ID}
WALKER_FAILED = {
    "type": "walker-failed",
    "title": "The walker failed",
    "status": 422,
    "detail": "This walker fails.",
    "errors": [],
    "success": False,
    "report": [],
    "final_node": JID,
    "error": {"type": "RuntimeError", "message": "This walker fails."},
}
