"""Formats of results, by every name that they are known under. Pure."""

CSV, XLSX, JSON, JSONL, XML = "csv", "xlsx", "json", "jsonl", "xml"

HTML, PNG, JPG, PDF = "html", "png", "jpg", "pdf"  # of single things

SINGLES = {HTML: "text/html; charset=utf-8", PNG: "image/png", JPG: "image/jpeg", PDF: "application/pdf"}
MEDIA_TYPES = {
    CSV: "text/csv; charset=utf-8",
    XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    JSON: "application/json",
    JSONL: "application/x-ndjson",
    XML: "application/xml",
}
_NAMES = {
    **{name: name for name in MEDIA_TYPES},
    "excel": XLSX,
    "ms excel": XLSX,
    "msexcel": XLSX,
    "json(lines)": JSONL,
    "json lines": JSONL,
    "jsonlines": JSONL,
    "ndjson": JSONL,
}


def format_named(name: str) -> str | None:
    """The format that is meant, in any case; None when there is none of that name."""
    return _NAMES.get(name.strip().lower())


def file_name(process: str, format: str, *, gzip: bool) -> str:
    return f"{process}.{format}" + (".gz" if gzip else "")
