import re
from pathlib import Path

from django.apps import AppConfig


class SpinningConfig(AppConfig):
    """Lets the event loop of extraction's workers compute for ever at a page that asks for it, and touch the file that
    the page names."""

    name = "tests.faults.spinning"

    def ready(self) -> None:
        from extraction.fetch import page_fetcher, page_text

        asked = re.compile(rb"<!-- spin (\S+) -->")
        decode = page_text.decode_page

        def decode_or_spin(body: bytes, content_type: str | None) -> str:
            if spin := asked.search(body):
                Path(spin[1].decode()).touch()
                while True:
                    pass
            return decode(body, content_type)

        vars(page_fetcher)["decode_page"] = decode_or_spin
