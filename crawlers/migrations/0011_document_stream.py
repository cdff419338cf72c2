from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # uploads go on while the index is made

    dependencies = [("crawlers", "0010_retention_and_days")]

    operations = [
        AddIndexConcurrently(
            model_name="document",
            index=models.Index(fields=["stream", "id"], name="document_stream"),
        ),
    ]
