"""Indexes by which the console's search finds names and ids, built while the hub goes on."""

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.operations import AddIndexConcurrently
from django.contrib.postgres.search import SearchVector
from django.db import migrations, models
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Right


def add_index_of_words(model_name: str) -> AddIndexConcurrently:
    spaced = models.Func(
        KeyTextTransform("name", "meta"),
        models.Value(r"[\W_]+"),
        models.Value(" "),
        models.Value("g"),
        function="regexp_replace",
        output_field=models.TextField(),
    )
    return AddIndexConcurrently(model_name, GinIndex(SearchVector(spaced, config="simple"), name=f"{model_name}_words"))


def add_index_of_ends(model_name: str, name: str) -> AddIndexConcurrently:
    return AddIndexConcurrently(model_name, models.Index(Right(Cast("fid", models.TextField()), 8), name=name))


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("crawlers", "0011_document_stream")]

    operations = [
        add_index_of_words("external"),
        add_index_of_ends("external", "external_id_end"),
        add_index_of_words("stream"),
        add_index_of_ends("stream", "stream_id_end"),
        add_index_of_words("crawler"),
        add_index_of_ends("crawler", "crawler_id_end"),
        add_index_of_ends("crawlertask", "task_id_end"),
    ]
