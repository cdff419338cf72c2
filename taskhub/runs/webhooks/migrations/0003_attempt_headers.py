from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("webhooks", "0002_unique_model_names"),
    ]

    operations = [
        migrations.AddField(
            model_name="deliveryattempt",
            name="headers",
            field=models.JSONField(null=True, help_text="Those that were sent and received, secrets masked"),
        ),
    ]
