"""The documents' sequences, as printed."""

import re
from pathlib import Path
from typing import Any

from tests.hub import ADMIN, PASSWORD, Hub

DATA = Path(__file__).resolve().parent / "data"
ELSEWHERE = "https://jsonplaceholder.typicode.com/todos/100"  # what no test can reach


class Printed:
    """A document's arguments with this hub's address and people in place of theirs, and nothing left out."""

    def __init__(self, hub: Hub, name: str) -> None:
        self.third = hub.sign_up("Third")
        self.second = hub.sign_up("Second")
        text = (DATA / name).read_text().replace("http://localhost:8000", hub.url)
        text = text.replace(ELSEWHERE, f"{hub.url}/healthz").replace("dummy@dummy.com", ADMIN)
        text = text.replace("Secret123!", PASSWORD).replace("dummy+testing3@dummy.com", self.third.email)
        text = text.replace("dummy+testing2@dummy.com", self.second.email)
        text = text.replace("29cba0c9-e24e-4d15-a2b6-4354c59a4c86", self.second.id)
        assert text.count("...") == 1
        self.whole = text
        self.text = re.sub(r',\s*// nested loop is supported\s*"__def_loop": \.\.\.', "", text)

    def with_master(self, id: str) -> str:
        return self.text.replace('"persistence": {', f'"persistence": {{ "master": "urn:uuid:{id}",', 1)

    def check_result(self, result: dict[str, Any]) -> None:
        assert result["additional_field"] == "can_be_call_via_#.additional_field"
        assert result["login_req"]["body"] == {"email": ADMIN, "password": PASSWORD}
        people = {self.third.id: self.third, self.second.id: self.second}
        shown = {key: value for key, value in result.items() if key.startswith("object_get_")}
        assert {value["email"] for value in shown.values()} == {self.third.email, self.second.email}
        assert all(int(key.removeprefix("object_get_")) >= 0 for key in shown)
        for id in people:
            name = f"urn_uuid_{id.replace('-', '_')}"
            assert result[f"response_{name}"]["success"] is True
            request = result[f"req_{name}"]["body"]
            assert request["name"] == "get_botset"
            assert request["nd"] in {value["active_gph_id"] for value in shown.values()}
        assert result["testing_nested"]["status"] == "ok"
        assert result["req_testing_nested"]["method"] == "GET"
