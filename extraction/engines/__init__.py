"""Loads the search engines: the files beside this one, and those in a folder of the operator's, which replace them."""

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from extraction.domain.search_engines import SearchEngine, parse_engine

BUNDLED = Path(__file__).parent


def engines() -> Mapping[str, SearchEngine]:
    """The search engines by name. Raises `ImproperlyConfigured` that names the file and the place that is wrong."""
    return _load(settings.EXTRACTION_ENGINES)


@lru_cache(4)
def _load(folder: str) -> Mapping[str, SearchEngine]:
    folders = [BUNDLED, *([Path(folder)] if folder else [])]
    if not all(path.is_dir() for path in folders):
        raise ImproperlyConfigured(f"TASKHUB_EXTRACTION_ENGINES: there is no folder {folder}.")
    return {engine.name: engine for path in folders for engine in _read(path)}


def _read(folder: Path) -> Iterator[SearchEngine]:
    for file in sorted(folder.glob("*.json")):
        try:
            yield parse_engine(file.stem, json.loads(file.read_text(encoding="utf-8")))
        except (ValueError, OSError) as error:
            raise ImproperlyConfigured(f"The search engine {file} cannot be read: {error}") from None
