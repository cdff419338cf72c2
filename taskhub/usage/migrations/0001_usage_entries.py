import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.CreateModel(
            name="UsageEntry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "span",
                    models.PositiveIntegerField(
                        default=0, help_text="Seconds that it stands for; 0 for one transaction"
                    ),
                ),
                ("pages", models.BigIntegerField(default=0)),
                ("failed_pages", models.BigIntegerField(default=0)),
                ("inserted", models.BigIntegerField(default=0, help_text="Documents")),
                ("updated", models.BigIntegerField(default=0, help_text="Documents")),
                ("credits", models.BigIntegerField(default=0)),
                (
                    "owner",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "usage entries",
                "indexes": [
                    models.Index(fields=["owner", "at"], name="usage_owner"),
                    models.Index(fields=["span", "at"], name="usage_span"),
                ],
            },
        ),
    ]
