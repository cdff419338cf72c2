"""docs/external-crawler.md on a running hub: its Python examples, one after the other, as one program."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import crawler_client
from tests.hub import ROOT, Hub

pytestmark = pytest.mark.slow
TEXT = (ROOT / "docs" / "external-crawler.md").read_text()
SAID = [
    *("1", "2 shop", "{'count': 3, 'pause': 0, 'query': 'shoe'}", "201 new", "200 5", "2 2"),
    *(
        "1 1",
        '2 {"price": 1}',
        "1",
        "{'code': 200, 'message': 'task done', 'detail': '2 pages'}",
        "2",
        "\"1\" {'page': 8}",
        "['a2']",
    ),
]

FED = ["{'sku': 'a2', 'price': 12} False", "[]"]


def examples(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.S)


def test_there_is_an_example_of_each_call_in_both_languages() -> None:
    assert len(examples("python")) == len(examples("javascript")) == 14


def test_the_python_examples_do_what_they_say(hub: Hub, tmp_path: Path) -> None:
    program = tmp_path / "examples.py"
    program.write_text("\n".join(examples("python")))
    with crawler_client.example_crawler() as endpoint:
        names = {"HUB": hub.url, "CRAWLER": endpoint, "TOKEN": hub.sign_up().token, "NO_PROXY": "*"}
        done = subprocess.run(
            [sys.executable, program], env=os.environ | names, capture_output=True, text=True, timeout=120
        )
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said == [*SAID, "9", "sku,price", "{'sku': 'a2', 'price': 12}", *FED, "2", "5"]
