from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("extraction", "0004_words_of_the_glossary")]

    operations = [
        migrations.AddField(
            "process",
            "rendered",
            models.BooleanField(default=False, db_default=False, help_text="A browser renders pages of it"),
        ),
    ]
