"""Names and ids that are found by an index, by a part of them, however many rows there are: names by the beginnings of
their words, ids by their ends, as lists show them.

Without an extension, which not every PostgreSQL has: a name's words are a text search vector.
"""

from typing import Any

from django.contrib.postgres.search import SearchQuery, SearchVector
from django.db.models import F, Func, TextField, Value
from django.db.models.expressions import Combinable, RawSQL
from django.db.models.functions import Cast, Right

ID_END = 8  # characters
_BETWEEN_WORDS = r"[\W_]+"
# Split by PostgreSQL, as the names were: it knows by its locale what belongs to a word.
_BEGINNINGS = """(
SELECT string_agg(quote_literal(word) || ':*', ' & ') FROM regexp_split_to_table(%s, %s) AS word WHERE word <> ''
)"""


def words_of(name: str | Combinable) -> SearchVector:
    """The words of a column or an expression, for an index and for who looks for them."""
    named = F(name) if isinstance(name, str) else name
    spaced = (named, Value(_BETWEEN_WORDS), Value(" "), Value("g"))
    return SearchVector(Func(*spaced, function="regexp_replace", output_field=TextField()), config="simple")


def beginnings_of(text: str) -> SearchQuery:
    """What words have that begin as those of a text do, each of them; nothing has it where there are none."""
    words = RawSQL(_BEGINNINGS, (text, _BETWEEN_WORDS))  # noqa: S611  # what comes from outside is a parameter
    return SearchQuery(words, config="simple", search_type="raw")


def end_of(id_name: str) -> Any:
    """The last characters of an id, for an index and for who looks for them."""
    return Right(Cast(id_name, TextField()), ID_END)
