import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):

    replaces = [
        ('audit', '0001_entries'),
        ('audit', '0002_index_of_actions'),
    ]

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='AuditEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(default=django.utils.timezone.now)),
                ('actor_id', models.UUIDField(null=True)),
                ('actor', models.CharField(blank=True, max_length=254)),
                ('credential', models.CharField(blank=True, max_length=40)),
                ('door', models.CharField(choices=[('admin', 'admin'), ('api', 'API'), ('console', 'console'), ('command', 'command line'), ('run', 'a run')], max_length=10)),
                ('action', models.CharField(max_length=40)),
                ('object_kind', models.CharField(max_length=40, verbose_name='kind')),
                ('object_id', models.CharField(max_length=100)),
                ('object_name', models.CharField(blank=True, max_length=300, verbose_name='name')),
                ('owner_id', models.UUIDField(null=True)),
                ('before', models.JSONField(null=True)),
                ('after', models.JSONField(null=True)),
                ('request_id', models.CharField(blank=True, max_length=128)),
                ('run_id', models.UUIDField(null=True)),
                ('address', models.CharField(blank=True, max_length=45)),
            ],
            options={
                'verbose_name_plural': 'audit entries',
                'default_permissions': ('view',),
                'indexes': [models.Index(fields=['at'], name='audit_at'), models.Index(fields=['actor_id', 'id'], name='audit_actor_id'), models.Index(fields=['actor', 'id'], name='audit_actor'), models.Index(fields=['object_kind', 'id'], name='audit_kind'), models.Index(fields=['object_id', 'id'], name='audit_object'), models.Index(fields=['object_name', 'id'], name='audit_object_name'), models.Index(fields=['action', 'id'], name='audit_action')],
            },
        ),
    ]
