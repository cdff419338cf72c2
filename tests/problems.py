"""What every problem must look like, asserted in one place."""

from typing import Any


def problem(answer: Any, status: int, *pointers: str) -> dict[str, Any]:
    """The body of a problem with this status, whose `errors` name exactly these pointers."""
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["success"] is False
    assert body["type"]
    assert body["title"]
    assert body["detail"]
    assert ("WWW-Authenticate" in answer) == (status == 401)
    assert sorted({error["pointer"] for error in body["errors"]}) == sorted(pointers)
    assert all(error["detail"] for error in body["errors"])
    return body
