import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0015_indexes_of_lists")]

    operations = [
        migrations.AddField(
            model_name="worker",
            name="since",
            field=models.DateTimeField(
                db_default=django.db.models.functions.datetime.Now(),
                editable=False,
                help_text="When it gave its first heartbeat",
            ),
        ),
    ]
