import django.db.models.deletion
import django.utils.timezone
import taskhub.security.encryption
import taskhub.security.sealed_values
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    replaces = [
        ('sequences', '0001_steps'),
        ('sequences', '0002_unique_model_names'),
        ('sequences', '0003_step_notes'),
        ('sequences', '0004_run_sequence'),
        ('sequences', '0005_encrypted_checkpoints'),
        ('sequences', '0006_steps_and_secrets'),
        ('sequences', '0007_stored_sequences'),
        ('sequences', '0008_written_sequences'),
    ]

    initial = True

    dependencies = [
        ('runs', '0001_ledger_squashed_0018_run_tallies'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Checkpoint',
            fields=[
                ('run', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, serialize=False, to='runs.run')),
                ('state', models.TextField(help_text='JSON')),
            ],
        ),
        migrations.CreateModel(
            name='CheckpointValue',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('digest', models.CharField(help_text='SHA-256 of place and key, which may be too long for an index', max_length=64)),
                ('place', models.CharField(max_length=20)),
                ('key', models.TextField()),
                ('value', taskhub.security.encryption.EncryptedJSONField(help_text='JSON; null is NULL', null=True)),
                ('run', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='runs.run')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('run', 'digest'), name='checkpoint_value')],
            },
        ),
        migrations.CreateModel(
            name='SequenceStep',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField(help_text='From 1, in the order in which they were carried out')),
                ('path', models.TextField(help_text='Such as requests[1].__def_loop__[0].requests[2]')),
                ('method', models.CharField(help_text='SLEEP, PARALLEL or CALL for a step without a request', max_length=10)),
                ('url', models.TextField(help_text='The address, or the name of a call in process')),
                ('status', models.PositiveSmallIntegerField(help_text='Of the answer, if there was one', null=True)),
                ('duration_ms', models.PositiveIntegerField()),
                ('error', models.TextField(blank=True, default='')),
                ('again', models.BooleanField(default=False, help_text='May have been sent before, by a worker that was lost')),
                ('sent', models.TextField(default='', help_text='Headers and body')),
                ('answer', models.TextField(default='', help_text='The value of the answer')),
                ('run', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='steps', to='runs.run')),
                ('note', models.TextField(blank=True, db_default='', default='', help_text='What was mended in the answer')),
                ('attempt', models.PositiveIntegerField(db_default=1, default=1, help_text='The tries of one request, from 1')),
                ('skipped', models.BooleanField(db_default=False, default=False, help_text='Its `when` did not hold')),
                ('title', models.CharField(blank=True, db_default='', default='', help_text='Its `name`', max_length=200)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('run', 'number'), name='step_number')],
                'db_table': 'sequences_step',
                'permissions': [('run_sequence', 'Can run sequences')],
            },
        ),
        migrations.CreateModel(
            name='StoredSecret',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=100)),
                ('value', taskhub.security.encryption.EncryptedTextField()),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('owner', models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['name', 'pk'],
                'constraints': [models.UniqueConstraint(fields=('owner', 'name'), name='secret_name', nulls_distinct=False)],
            },
        ),
        migrations.CreateModel(
            name='StoredSequence',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=100)),
                ('newest', models.PositiveIntegerField(default=0)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('owner', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-pk'],
                'constraints': [models.UniqueConstraint(fields=('owner', 'name'), name='stored_sequence_name')],
            },
        ),
        migrations.CreateModel(
            name='SequenceVersion',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField(help_text='From 1')),
                ('description', models.TextField(blank=True, default='')),
                ('sequence', taskhub.security.sealed_values.SealedJSONField()),
                ('inputs', taskhub.security.sealed_values.SealedJSONField(help_text='A JSON Schema', null=True)),
                ('outputs', taskhub.security.sealed_values.SealedJSONField(help_text='Expressions by name', null=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('stored', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='versions', to='sequences.storedsequence')),
                ('written', taskhub.security.encryption.EncryptedTextField(blank=True, db_default='', default='', help_text='The sequence as it was written, comments and all; may be empty')),
            ],
            options={
                'ordering': ['-number'],
                'constraints': [models.UniqueConstraint(fields=('stored', 'number'), name='sequence_version')],
            },
        ),
    ]
