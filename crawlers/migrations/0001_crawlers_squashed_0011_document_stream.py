import crawlers.models
import django.db.models.deletion
import django.db.models.functions.datetime
import django.utils.timezone
import taskhub.security.encryption
import taskhub.security.sealed_values
import uuid_utils.compat
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    replaces = [
        ('crawlers', '0001_crawlers'),
        ('crawlers', '0002_unique_model_names'),
        ('crawlers', '0003_kept_words_and_progress'),
        ('crawlers', '0004_moved_endpoints'),
        ('crawlers', '0005_sealed_values'),
        ('crawlers', '0006_sealed_defaults'),
        ('crawlers', '0007_ordered_schemas'),
        ('crawlers', '0008_change_feed'),
        ('crawlers', '0009_crawler_states'),
        ('crawlers', '0010_retention_and_days'),
        ('crawlers', '0011_document_stream'),
    ]

    initial = True

    dependencies = [
        ('django_celery_beat', '0019_alter_periodictasks_options'),
        ('runs', '0001_ledger_squashed_0018_run_tallies'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        # Orders attempts by their start, whichever stream they are of.
        migrations.RunSQL("CREATE SEQUENCE crawlers_rank", "DROP SEQUENCE crawlers_rank"),
        migrations.CreateModel(
            name='External',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('fid', models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, unique=True)),
                ('meta', models.JSONField(default=dict, help_text='Its name, and whatever else describes it')),
                ('version', models.PositiveIntegerField(default=1, help_text='Each change raises it')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('removed_at', models.DateTimeField(editable=False, help_text='When it was deleted; its row goes later', null=True)),
                ('endpoint', taskhub.security.sealed_values.SealedTextField(help_text='/task is appended')),
                ('credential', models.CharField(choices=[('none', 'none'), ('ignore', 'credentials are ignored'), ('basic', 'username and password'), ('oauth', 'a token')], default='none', max_length=10)),
                ('parameters', crawlers.models.ParametersField(default=list)),
                ('schema', crawlers.models.SchemaField(help_text='JSON Schema of one document', null=True)),
                ('id_field', models.TextField(default='', help_text="The member that is a document's id; empty: its content is")),
                ('headers', taskhub.security.encryption.EncryptedJSONField(default=dict)),
                ('timeout', models.PositiveIntegerField(default=3600, help_text='Seconds without a sign of life')),
                ('owner', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('kept', taskhub.security.sealed_values.SealedJSONField(db_default={}, default=dict, help_text='What is given back as it was sent: credential, analysis, oauth and so on')),
                ('moved_at', models.DateTimeField(editable=False, help_text='When its endpoint last got another origin', null=True)),
            ],
            options={
                'indexes': [models.Index(fields=['owner', '-id'], name='external_owner')],
            },
        ),
        migrations.CreateModel(
            name='Stream',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('fid', models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, unique=True)),
                ('meta', models.JSONField(default=dict, help_text='Its name, and whatever else describes it')),
                ('version', models.PositiveIntegerField(default=1, help_text='Each change raises it')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('removed_at', models.DateTimeField(editable=False, help_text='When it was deleted; its row goes later', null=True)),
                ('documents', models.BigIntegerField(default=0, help_text='How many readers see')),
                ('revision', models.BigIntegerField(default=0, help_text='Each change of its documents raises it')),
                ('owner', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('forgotten_row', models.BigIntegerField(db_default=0, default=0, help_text='The last of its tombstones that was pruned; cursors from before are too old')),
                ('checked_at', models.DateTimeField(editable=False, help_text='When it was last asked whether some must go', null=True)),
                ('retention_days', models.PositiveIntegerField(help_text='How long documents are kept; null: for ever', null=True)),
                ('retention_documents', models.PositiveBigIntegerField(help_text='How many are kept; null: all', null=True)),
            ],
            options={
                'indexes': [models.Index(fields=['owner', '-id'], name='stream_owner')],
            },
        ),
        migrations.CreateModel(
            name='Crawler',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('fid', models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, unique=True)),
                ('meta', models.JSONField(default=dict, help_text='Its name, and whatever else describes it')),
                ('version', models.PositiveIntegerField(default=1, help_text='Each change raises it')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('removed_at', models.DateTimeField(editable=False, help_text='When it was deleted; its row goes later', null=True)),
                ('params', models.JSONField(default=dict, help_text='Without the secret ones')),
                ('secrets', taskhub.security.encryption.EncryptedJSONField(default=dict, help_text='{params, credential}')),
                ('owner', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('periodic', models.OneToOneField(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='crawler', to='django_celery_beat.periodictask')),
                ('external', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='crawlers', to='crawlers.external')),
                ('stream', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='crawlers', to='crawlers.stream')),
                ('webhook', taskhub.security.encryption.EncryptedTextField(blank=True, db_default='', default='', help_text='The address that is told of the end of each of its tasks')),
            ],
            options={
                'indexes': [models.Index(fields=['owner', '-id'], name='crawler_owner')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('removed_at__isnull', True)), fields=('stream',), name='crawler_one_a_stream')],
            },
        ),
        migrations.CreateModel(
            name='CrawlerTask',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('fid', models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, unique=True)),
                ('meta', models.JSONField(default=dict, help_text='Its name, and whatever else describes it')),
                ('version', models.PositiveIntegerField(default=1, help_text='Each change raises it')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('removed_at', models.DateTimeField(editable=False, help_text='When it was deleted; its row goes later', null=True)),
                ('attempt', models.PositiveIntegerField(default=1)),
                ('rank', models.BigIntegerField()),
                ('code', models.IntegerField(default=0)),
                ('message', models.TextField(blank=True, default='')),
                ('detail', models.TextField(blank=True, default='')),
                ('params', models.JSONField(default=dict, help_text='Without the secret ones')),
                ('secrets', taskhub.security.encryption.EncryptedJSONField(default=dict, help_text='{params, credential}')),
                ('callback', taskhub.security.sealed_values.SealedTextField(blank=True, default='', help_text="Address for the crawler's notices of status changes")),
                ('timeout', models.PositiveIntegerField(help_text='Seconds without a sign of life')),
                ('started_at', models.DateTimeField(help_text='When the crawler took it', null=True)),
                ('seen_at', models.DateTimeField(default=django.utils.timezone.now, help_text='The last sign of life')),
                ('ended_at', models.DateTimeField(null=True)),
                ('received', models.BigIntegerField(default=0)),
                ('inserted', models.BigIntegerField(default=0)),
                ('updated', models.BigIntegerField(default=0)),
                ('unchanged', models.BigIntegerField(default=0)),
                ('rejected', models.BigIntegerField(default=0)),
                ('bytes', models.BigIntegerField(default=0, help_text='Received, after decompression')),
                ('first_row', models.BigIntegerField(null=True)),
                ('last_row', models.BigIntegerField(null=True)),
                ('last_upload', models.JSONField(help_text='Digest and circumstances of the last one, if nothing repeated', null=True)),
                ('crawler', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='tasks', to='crawlers.crawler')),
                ('external', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='tasks', to='crawlers.external')),
                ('owner', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('run', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='runs.run')),
                ('stream', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='tasks', to='crawlers.stream')),
                ('progress', models.JSONField(help_text='As the crawler tells it: {done, total}', null=True)),
                ('stats', models.JSONField(db_default={}, default=dict, help_text="Numbers of the crawler's own, by their names")),
            ],
            options={
                'indexes': [models.Index(fields=['owner', '-id'], name='task_owner'), models.Index(fields=['stream', '-id'], name='task_stream'), models.Index(fields=['crawler', '-id'], name='task_crawler')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('ended_at__isnull', True), ('removed_at__isnull', True)), fields=('crawler',), name='task_one_running'), models.CheckConstraint(condition=models.Q(models.Q(('code__gte', 200), ('ended_at__isnull', False)), models.Q(('code__lt', 200), ('ended_at__isnull', True)), _connector='OR'), name='task_ended_at')],
                'db_table': 'crawlers_task',
                'verbose_name': 'task',
            },
        ),
        migrations.CreateModel(
            name='StatusChange',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('attempt', models.PositiveIntegerField()),
                ('code', models.IntegerField()),
                ('message', models.TextField(default='')),
                ('detail', models.TextField(default='')),
                ('by', models.CharField(choices=[('hub', 'Hub'), ('crawler', 'Crawler'), ('owner', 'Owner')], max_length=10)),
                ('at', models.DateTimeField(default=django.utils.timezone.now)),
                ('task', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='history', to='crawlers.crawlertask')),
            ],
            options={
                'indexes': [models.Index(fields=['task', '-id'], name='status_task')],
            },
        ),
        migrations.CreateModel(
            name='Document',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.TextField(db_collation='C')),
                ('rank', models.BigIntegerField(help_text='Of the attempt that wrote it')),
                ('body', models.TextField(help_text='JSON, as it was sent')),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('stream', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='crawlers.stream')),
                ('task', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='crawlers.crawlertask')),
            ],
            options={
                'indexes': [models.Index(fields=['stream', 'id'], name='document_stream')],
                'constraints': [models.UniqueConstraint(fields=('stream', 'key', 'task'), name='document_version')],
            },
        ),
        migrations.CreateModel(
            name='CrawlerCall',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('attempt', models.PositiveIntegerField(help_text='Of the run')),
                ('method', models.CharField(max_length=10)),
                ('url', models.TextField()),
                ('status', models.PositiveSmallIntegerField(help_text='Of the answer, if there was one', null=True)),
                ('error', models.TextField(default='')),
                ('duration_ms', models.PositiveIntegerField()),
                ('at', models.DateTimeField(default=django.utils.timezone.now)),
                ('run', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='runs.run')),
                ('task', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='calls', to='crawlers.crawlertask')),
            ],
            options={
                'indexes': [models.Index(fields=['task', '-id'], name='call_task')],
                'db_table': 'crawlers_call',
                'verbose_name': 'call',
            },
        ),
        migrations.CreateModel(
            name='RejectedLine',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('line', models.BigIntegerField(help_text='In its upload')),
                ('reason', models.TextField()),
                ('body', models.TextField(help_text='The line as it was sent')),
                ('at', models.DateTimeField(default=django.utils.timezone.now)),
                ('task', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='quarantine', to='crawlers.crawlertask')),
                ('upload', models.TextField(db_default='', default='', help_text='Digest of the body that it came in')),
            ],
            options={
                'indexes': [models.Index(fields=['task', 'id'], name='rejected_task')],
                'db_table': 'crawlers_rejected',
            },
        ),
        migrations.CreateModel(
            name='Tombstone',
            fields=[
                ('id', models.BigIntegerField(primary_key=True, serialize=False)),
                ('key', models.TextField(db_collation='C')),
                ('task', models.UUIDField(help_text='The fid of the task that had written it')),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('stream', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='crawlers.stream')),
            ],
            options={
                'indexes': [models.Index(fields=['stream', 'id'], name='tombstone_stream')],
            },
        ),
        migrations.CreateModel(
            name='CrawlerState',
            fields=[
                ('crawler', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='state', serialize=False, to='crawlers.crawler')),
                ('value', taskhub.security.encryption.EncryptedJSONField(null=True)),
                ('version', models.PositiveIntegerField(default=1, help_text='Each change raises it')),
                ('changed_at', models.DateTimeField(auto_now=True)),
            ],
        ),
        migrations.CreateModel(
            name='StreamDay',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('day', models.DateField()),
                ('inserted', models.BigIntegerField(default=0)),
                ('updated', models.BigIntegerField(default=0)),
                ('stream', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='days', to='crawlers.stream')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('stream', 'day'), name='stream_day')],
            },
        ),
        # Documents of up to a page stay in their row as they are: to pack them costs more than to write them.
        migrations.RunSQL("ALTER TABLE crawlers_document SET (toast_tuple_target = 8160)", migrations.RunSQL.noop),
    ]
