import crawlers.models
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("crawlers", "0005_sealed_values")]

    operations = [
        migrations.AlterField(
            model_name="external", name="parameters", field=crawlers.models.ParametersField(default=list)
        )
    ]
