"""The first records of a page, where a result has no more than so many. Pure."""

from extraction.domain.downloads import DOWNLOAD_RULE, URL, DownloadedFile
from extraction.domain.extraction_rule import ExtractionRule
from extraction.domain.page_reader import DetailsLink, PageReading


def keep_first(reading: PageReading, most: int, rule: ExtractionRule) -> None:
    """Leaves out the records of a page behind the first ones, with the details and files that only they lead to."""
    if len(reading.records) <= most:
        return
    reading.records = reading.records[:most]
    values = [value for record in reading.records for value in record.values()]
    entries = [entry for value in values for entry in (value if isinstance(value, list) else [value])]
    keys = {entry for entry in entries if isinstance(entry, str)}
    files = {entry[URL] for entry in entries if isinstance(entry, DownloadedFile)}

    def is_wanted(link: DetailsLink) -> bool:
        if link.rule == rule.number:  # a link that is followed belongs to no record
            return True
        return link.url in files if link.rule == DOWNLOAD_RULE else link.key.hex() in keys

    reading.links = list(filter(is_wanted, reading.links))
