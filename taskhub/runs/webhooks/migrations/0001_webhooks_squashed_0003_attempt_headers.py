import django.db.models.deletion
import django.utils.timezone
import taskhub.security.encryption
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    replaces = [
        ('webhooks', '0001_webhooks'),
        ('webhooks', '0002_unique_model_names'),
        ('webhooks', '0003_attempt_headers'),
    ]

    initial = True

    dependencies = [
        ('runs', '0001_ledger_squashed_0018_run_tallies'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='WebhookSecret',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('value', taskhub.security.encryption.EncryptedJSONField()),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('expires_at', models.DateTimeField(help_text='None for the current one', null=True)),
                ('owner', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='webhook_secrets', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-id'],
                'constraints': [models.UniqueConstraint(condition=models.Q(('expires_at__isnull', True)), fields=('owner',), name='secret_current')],
                'db_table': 'webhooks_secret',
            },
        ),
        migrations.CreateModel(
            name='DeliveryAttempt',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveSmallIntegerField()),
                ('at', models.DateTimeField(default=django.utils.timezone.now)),
                ('status', models.PositiveSmallIntegerField(help_text='None where there was no answer', null=True)),
                ('duration_ms', models.PositiveIntegerField()),
                ('error', models.TextField(blank=True, default='')),
                ('answer', models.TextField(blank=True, default='')),
                ('delivery', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='attempts_made', to='runs.run')),
                ('headers', models.JSONField(help_text='Those that were sent and received, secrets masked', null=True)),
            ],
            options={
                'ordering': ['-id'],
                'db_table': 'webhooks_attempt',
            },
        ),
    ]
