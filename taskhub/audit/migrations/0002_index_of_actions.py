"""The index by which changes of one action are found."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("audit", "0001_entries")]

    operations = [
        AddIndexConcurrently(
            model_name="auditentry", index=models.Index(fields=["action", "id"], name="audit_action")
        ),
    ]
