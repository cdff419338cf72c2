"""What a newcomer finds at the address alone."""

from tests.conftest import Person


def test_the_root_leads_to_the_documentation(anonymous: Person) -> None:
    answer = anonymous.get("/")
    assert (answer.status_code, answer["Location"]) == (302, "/docs/")
    page = anonymous.get(answer["Location"])
    assert (page.status_code, page["Content-Type"]) == (200, "text/html; charset=utf-8")
