"""Indexes by which the console's search finds names and ids, built while the hub goes on."""

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.operations import AddIndexConcurrently
from django.contrib.postgres.search import SearchVector
from django.db import migrations, models
from django.db.models.functions import Cast, Right

SPACED_NAME = models.Func(
    models.F("name"),
    models.Value(r"[\W_]+"),
    models.Value(" "),
    models.Value("g"),
    function="regexp_replace",
    output_field=models.TextField(),
)
END_OF_ID = Right(Cast("id", models.TextField()), 8)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("extraction", "0011_compared_records")]

    operations = [
        AddIndexConcurrently(
            "extractiontask", GinIndex(SearchVector(SPACED_NAME, config="simple"), name="extraction_task_words")
        ),
        AddIndexConcurrently("extractiontask", models.Index(END_OF_ID, name="extraction_task_id_end")),
        AddIndexConcurrently("process", models.Index(END_OF_ID, name="process_id_end")),
    ]
