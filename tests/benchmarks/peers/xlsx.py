"""100,000 rows of five cells as XLSX: `xlsx ours|bare`. Prints seconds, and by how many MiB the process grew."""

import sys
import tempfile
import time
from collections.abc import Iterator

from rustpy_xlsxwriter import write_worksheet

from tests.benchmarks.peers.memory import peak_mib

ROWS = 100_000


def rows() -> Iterator[dict[str, str]]:
    for n in range(ROWS):
        yield {
            "title": f"Product {n}",
            "url": f"https://x.example/{n}",
            "price": f"{n}.99",
            "text": "words " * 5,
            "stock": "7",
        }


def bare(path: str) -> None:
    write_worksheet(rows(), path)


def ours(path: str) -> None:
    from extraction.domain.pages_payload import PagesPayload
    from extraction.writers import write_records

    fields = [{"name": name, "selector": "a"} for name in next(rows())]
    rule = PagesPayload.parse({"request": {"url": "http://x/"}, "fields": fields}).rule
    with open(path, "wb") as file:
        file.writelines(write_records(rows(), rule, "xlsx", max_records=ROWS))


if __name__ == "__main__":
    from extraction import writers  # noqa: F401  (what it takes to load is not counted)

    before, began = peak_mib(), time.perf_counter()
    with tempfile.NamedTemporaryFile(suffix=".xlsx") as file:
        {"bare": bare, "ours": ours}[sys.argv[1]](file.name)
    print(time.perf_counter() - began, peak_mib() - before)
