import crawlers.models
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("crawlers", "0006_sealed_defaults")]

    operations = [
        migrations.AlterField(
            model_name="external",
            name="schema",
            field=crawlers.models.SchemaField(help_text="JSON Schema of one document", null=True),
        )
    ]
