from django.apps import AppConfig


class SpinningConfig(AppConfig):
    """Lets the event loop of extraction's workers compute for ever, at a page that asks for it."""

    name = "tests.faults.spinning"

    def ready(self) -> None:
        from extraction.fetch import page_fetcher, page_text

        decode = page_text.decode_page

        def decode_or_spin(body: bytes, content_type: str | None) -> str:
            while b"<!-- spin -->" in body:
                pass
            return decode(body, content_type)

        vars(page_fetcher)["decode_page"] = decode_or_spin
