import django.contrib.postgres.fields
from django.db import migrations, models

import taskhub.accounts.models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0002_deleted_accounts'),
    ]

    operations = [
        migrations.AddField(
            model_name='apikey',
            name='scopes',
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=10),
                db_default=['read', 'run', 'upload', 'manage'],
                default=taskhub.accounts.models.all_scopes,
                help_text='Which calls it may make',
                size=None,
            ),
        ),
    ]
