import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.db.models.deletion
import django.db.models.fields.json
import django.db.models.functions.datetime
import django.utils.timezone
import taskhub.runs.domain
import taskhub.security.encryption
import taskhub.security.sealed_values
import uuid_utils.compat
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    replaces = [
        ('runs', '0001_ledger'),
        ('runs', '0002_what_fired_it'),
        ('runs', '0003_schedules'),
        ('runs', '0004_run_webhook'),
        ('runs', '0005_idempotency_record'),
        ('runs', '0006_worker_processes'),
        ('runs', '0007_runs_alone'),
        ('runs', '0008_sealed_values'),
        ('runs', '0009_log_lines'),
        ('runs', '0010_schedules_of_owners'),
        ('runs', '0011_fired_runs'),
        ('runs', '0012_run_options'),
        ('runs', '0013_indexes_of_run_options'),
        ('runs', '0014_run_traceparent'),
        ('runs', '0015_indexes_of_lists'),
        ('runs', '0016_since_when_workers_are_there'),
        ('runs', '0017_notifications'),
        ('runs', '0018_run_tallies'),
    ]

    initial = True

    dependencies = [
        ('django_celery_beat', '0019_alter_periodictasks_options'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Leadership',
            fields=[
                ('name', models.CharField(max_length=40, primary_key=True, serialize=False)),
                ('holder', models.CharField(max_length=255)),
                ('until', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='Worker',
            fields=[
                ('name', models.CharField(help_text="Celery's node name, such as walkers@host", max_length=255, primary_key=True, serialize=False)),
                ('queues', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=40), size=None)),
                ('pid', models.PositiveIntegerField()),
                ('seen_at', models.DateTimeField()),
                ('processes', django.contrib.postgres.fields.ArrayField(base_field=models.PositiveIntegerField(), db_default=[], help_text='Process ids; each process carries out one run at a time', size=None)),
                ('since', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False, help_text='When it gave its first heartbeat')),
            ],
        ),
        migrations.CreateModel(
            name='Run',
            fields=[
                ('id', models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('kind', models.CharField(max_length=40)),
                ('name', models.CharField(max_length=200)),
                ('arguments', taskhub.security.sealed_values.SealedJSONField(default=dict)),
                ('state', models.CharField(choices=[(taskhub.runs.domain.State['PENDING'], taskhub.runs.domain.State['PENDING']), (taskhub.runs.domain.State['STARTED'], taskhub.runs.domain.State['STARTED']), (taskhub.runs.domain.State['PROGRESS'], taskhub.runs.domain.State['PROGRESS']), (taskhub.runs.domain.State['RETRY'], taskhub.runs.domain.State['RETRY']), (taskhub.runs.domain.State['SUCCESS'], taskhub.runs.domain.State['SUCCESS']), (taskhub.runs.domain.State['FAILURE'], taskhub.runs.domain.State['FAILURE']), (taskhub.runs.domain.State['REVOKED'], taskhub.runs.domain.State['REVOKED'])], default=taskhub.runs.domain.State['PENDING'], max_length=10)),
                ('result', taskhub.security.sealed_values.SealedJSONField(null=True)),
                ('error', models.JSONField(null=True)),
                ('progress', models.JSONField(null=True)),
                ('attempt', models.PositiveSmallIntegerField(default=0)),
                ('attempts', models.PositiveSmallIntegerField(default=3)),
                ('time_limit', models.FloatField(default=3600, help_text='Seconds of one attempt')),
                ('ready', models.BooleanField(default=True, help_text='May be claimed')),
                ('not_before', models.DateTimeField(null=True)),
                ('lease_until', models.DateTimeField(null=True)),
                ('worker', models.CharField(default='', max_length=255)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('started_at', models.DateTimeField(null=True)),
                ('finished_at', models.DateTimeField(null=True)),
                ('revision', models.BigIntegerField(default=1)),
                ('owner', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='runs', to=settings.AUTH_USER_MODEL)),
                ('parent', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='children', to='runs.run')),
                ('retry_of', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='retries', to='runs.run')),
                ('due_at', models.DateTimeField(help_text='When the schedule was due; None when it was started otherwise', null=True)),
                ('schedule', models.CharField(db_default='', default='', help_text='What fired it, by name; or empty', max_length=200)),
                ('webhook', taskhub.security.encryption.EncryptedTextField(blank=True, db_default='', default='', help_text='The address that is told of the end')),
                ('alone_as', models.CharField(blank=True, db_default='', default='', help_text='Of runs with the same one goes on at a time', max_length=64)),
                ('schedule_id', models.BigIntegerField(help_text='The schedule that fired it, also when that is renamed', null=True)),
                ('blocked', models.BooleanField(db_default=False, default=False, help_text='Waits until fewer runs with its concurrency key go on')),
                ('concurrency_key', models.CharField(blank=True, db_default='', default='', max_length=200)),
                ('concurrency_limit', models.IntegerField(db_default=1, default=1, help_text="Of the owner's runs with the same key so many go on at a time")),
                ('concurrency_policy', models.CharField(choices=[('wait', 'wait'), ('skip', 'skip'), ('cancel', 'cancel')], db_default='wait', default='wait', max_length=10)),
                ('expires_at', models.DateTimeField(help_text='By when it must have begun', null=True)),
                ('failures', models.SmallIntegerField(db_default=0, default=0, help_text='Attempts that failed')),
                ('losses', models.SmallIntegerField(db_default=0, default=0, help_text='Attempts whose worker was lost')),
                ('metadata', taskhub.security.sealed_values.SealedJSONField(blank=True, db_default={}, default=dict, help_text='What its owner says of it: texts, numbers, yes or no, by name')),
                ('priority', models.SmallIntegerField(db_default=5, default=5, help_text="1 to 9; of an owner's runs the higher is first")),
                ('request_id', models.CharField(blank=True, db_default='', default='', help_text='Of the call that it was accepted for', max_length=128)),
                ('tags', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=50), blank=True, db_default=[], default=list, size=None)),
                ('traceparent', models.CharField(blank=True, db_default='', default='', help_text='Of the span that it was accepted in', max_length=55)),
            ],
            options={
                'ordering': ['-id'],
                'indexes': [models.Index(fields=['owner', '-id'], name='run_owner'), models.Index(fields=['kind', '-id'], name='run_kind'), models.Index(fields=['name', '-id'], name='run_name'), models.Index(condition=models.Q(('lease_until__isnull', False)), fields=['owner', 'lease_until'], name='run_leased'), models.Index(condition=models.Q(('ready', False), ('state__in', [taskhub.runs.domain.State['PENDING'], taskhub.runs.domain.State['RETRY']])), fields=['not_before'], name='run_delayed'), models.Index(condition=models.Q(('state', taskhub.runs.domain.State['SUCCESS']), _negated=True), fields=['state', '-id'], name='run_state'), models.Index(condition=models.Q(('parent__isnull', False)), fields=['parent'], name='run_parent'), models.Index(condition=models.Q(('retry_of__isnull', False)), fields=['retry_of'], name='run_retry_of'), models.Index(condition=models.Q(('schedule', ''), _negated=True), fields=['schedule', '-id'], name='run_schedule'), models.Index(condition=models.Q(('schedule_id__isnull', False)), fields=['schedule_id', '-id'], name='run_of_schedule'), models.Index(models.F('kind'), models.F('owner'), models.OrderBy(models.F('priority'), descending=True), models.F('id'), condition=models.Q(('ready', True)), name='run_next'), models.Index(models.F('owner'), models.F('concurrency_key'), models.OrderBy(models.F('priority'), descending=True), models.F('id'), condition=models.Q(('blocked', True), ('finished_at__isnull', True)), name='run_blocked'), models.Index(condition=models.Q(models.Q(('concurrency_key', ''), _negated=True), models.Q(('ready', True), ('lease_until__isnull', False), _connector='OR')), fields=['owner', 'concurrency_key'], name='run_admitted'), models.Index(condition=models.Q(('expires_at__isnull', False), ('state', 'PENDING')), fields=['expires_at'], name='run_expiring'), django.contrib.postgres.indexes.GinIndex(condition=models.Q(('tags', []), _negated=True), fields=['tags'], name='run_tags'), django.contrib.postgres.indexes.GinIndex(condition=models.Q(('metadata', {}), _negated=True), fields=['metadata'], name='run_metadata', opclasses=['jsonb_path_ops']), models.Index(condition=models.Q(('tags', []), _negated=True), fields=['-id'], name='run_tagged'), models.Index(django.db.models.fields.json.KeyTextTransform('type', 'error'), models.OrderBy(models.F('id'), descending=True), condition=models.Q(('error__isnull', False)), name='run_error'), models.Index(condition=models.Q(('finished_at__isnull', False)), fields=['finished_at', 'owner'], name='run_finished')],
                'constraints': [models.CheckConstraint(condition=models.Q(('state__in', [taskhub.runs.domain.State['PENDING'], taskhub.runs.domain.State['STARTED'], taskhub.runs.domain.State['PROGRESS'], taskhub.runs.domain.State['RETRY'], taskhub.runs.domain.State['SUCCESS'], taskhub.runs.domain.State['FAILURE'], taskhub.runs.domain.State['REVOKED']])), name='run_state_known'), models.CheckConstraint(condition=models.Q(('ready', False), ('state__in', [taskhub.runs.domain.State['PENDING'], taskhub.runs.domain.State['RETRY']]), _connector='OR'), name='run_ready_waits'), models.CheckConstraint(condition=models.Q(models.Q(('lease_until__isnull', False), ('state__in', [taskhub.runs.domain.State['PROGRESS'], taskhub.runs.domain.State['STARTED']])), models.Q(('lease_until__isnull', True), models.Q(('state__in', [taskhub.runs.domain.State['PROGRESS'], taskhub.runs.domain.State['STARTED']]), _negated=True)), _connector='OR'), name='run_lease_runs'), models.CheckConstraint(condition=models.Q(models.Q(('finished_at__isnull', False), ('state__in', [taskhub.runs.domain.State['FAILURE'], taskhub.runs.domain.State['REVOKED'], taskhub.runs.domain.State['SUCCESS']])), models.Q(('finished_at__isnull', True), models.Q(('state__in', [taskhub.runs.domain.State['FAILURE'], taskhub.runs.domain.State['REVOKED'], taskhub.runs.domain.State['SUCCESS']]), _negated=True)), _connector='OR'), name='run_ended_at'), models.UniqueConstraint(condition=models.Q(('due_at__isnull', False)), fields=('schedule_id', 'due_at'), name='run_fires_once')],
            },
        ),
        migrations.CreateModel(
            name='Schedule',
            fields=[
                ('periodic', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='schedule_row', serialize=False, to='django_celery_beat.periodictask')),
                ('written', taskhub.security.encryption.EncryptedTextField(default='', help_text='The arguments as they were written, comments and all')),
                ('missed', models.CharField(choices=[('latest', 'the latest is made up for, once'), ('none', 'none is made up for'), ('all', 'each is made up for')], default='latest', max_length=10)),
                ('overlap', models.CharField(choices=[('skip', 'it is left out, which is on record'), ('wait', 'it waits for the end of the last run'), ('beside', 'it runs beside the last run'), ('cancel', 'the last run is cancelled')], default='skip', max_length=10)),
                ('due_at', models.DateTimeField(help_text='The next fire, if there is one', null=True)),
                ('fault', models.TextField(default='', help_text='Why it cannot fire')),
                ('read_as', models.CharField(default='', help_text='Fingerprint of the periodic task as it was read', max_length=32)),
                ('last_run', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='runs.run')),
                ('owner', models.ForeignKey(help_text='Whose runs it starts; unknown for one that came in another way than by the hub', null=True, on_delete=django.db.models.deletion.CASCADE, related_name='schedules', to=settings.AUTH_USER_MODEL)),
                ('jitter', models.PositiveIntegerField(db_default=0, default=0, help_text='Seconds, up to which a run begins after its due time, by chance')),
                ('own_name', models.CharField(db_default='', default='', help_text='Its name for its owner, where the task has another one', max_length=200)),
                ('webhook', taskhub.security.encryption.EncryptedTextField(blank=True, db_default='', default='', help_text="The address that is told of each run's end")),
                ('run_options', taskhub.security.sealed_values.SealedJSONField(blank=True, db_default={}, default=dict, help_text='Tags, metadata, priority and concurrency of its runs')),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('due_at__isnull', False)), fields=['due_at'], name='schedule_due')],
            },
        ),
        migrations.CreateModel(
            name='IdempotencyRecord',
            fields=[
                ('scope', models.CharField(help_text='SHA-256 of user, method, path and key', max_length=64, primary_key=True, serialize=False)),
                ('fingerprint', models.CharField(help_text='SHA-256 of the parsed fields and file digests', max_length=64)),
                ('status', models.PositiveSmallIntegerField()),
                ('body', taskhub.security.sealed_values.WhollySealedJSONField()),
                ('headers', models.JSONField(default=dict)),
                ('created_at', models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
            ],
            options={
                'db_table': 'runs_keptanswer',
            },
        ),
        migrations.CreateModel(
            name='LogLine',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('at', models.DateTimeField()),
                ('level', models.PositiveSmallIntegerField(help_text='As in Python: 10 is DEBUG, 20 INFO, 30 WARNING, 40 ERROR')),
                ('logger', models.CharField(max_length=200)),
                ('message', models.TextField()),
                ('attempt', models.PositiveSmallIntegerField()),
                ('fields', models.JSONField(blank=True, default=dict)),
                ('run', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='log_lines', to='runs.run')),
            ],
            options={
                'ordering': ['id'],
                'indexes': [models.Index(fields=['run', 'id'], name='log_line_run')],
            },
        ),
        migrations.CreateModel(
            name='NotificationRule',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=200)),
                ('events', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=40), size=None)),
                ('kind', models.CharField(blank=True, default='', max_length=40)),
                ('run_name', models.CharField(blank=True, default='', max_length=200)),
                ('tag', models.CharField(blank=True, default='', max_length=50)),
                ('schedule', models.CharField(blank=True, default='', max_length=200)),
                ('all_owners', models.BooleanField(default=False, help_text="Tells staff of everybody's runs")),
                ('webhook', taskhub.security.encryption.EncryptedTextField(blank=True, default='', help_text='The address that is told')),
                ('emails', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=254), blank=True, default=list, size=None)),
                ('quiet', models.PositiveIntegerField(default=0, help_text='Minutes after a message without another of its subject')),
                ('slow_after', models.PositiveIntegerField(help_text='Seconds after which a run is slow', null=True)),
                ('late_after', models.PositiveIntegerField(default=10, help_text='Minutes that the oldest of a queue waits until the queue is late')),
                ('enabled', models.BooleanField(default=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('owner', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='notification_rules', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-id'],
                'indexes': [models.Index(condition=models.Q(('all_owners', True)), fields=['id'], name='notification_rule_of_all')],
                'constraints': [models.UniqueConstraint(fields=('owner', 'name'), name='notification_rule_name'), models.CheckConstraint(condition=models.Q(models.Q(('emails__len__gt', 0), ('webhook', '')), models.Q(models.Q(('webhook', ''), _negated=True), ('emails', [])), _connector='OR'), name='notification_rule_target')],
            },
        ),
        migrations.CreateModel(
            name='NotificationQuiet',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('event', models.CharField(max_length=40)),
                ('subject', models.CharField(max_length=500)),
                ('until', models.DateTimeField()),
                ('held_back', models.PositiveIntegerField(default=0)),
                ('latest', models.JSONField(help_text='What was held back last', null=True)),
                ('rule', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='runs.notificationrule')),
            ],
            options={
                'indexes': [models.Index(fields=['until'], name='notification_quiet_until')],
                'constraints': [models.UniqueConstraint(fields=('rule', 'event', 'subject'), name='notification_quiet_once')],
            },
        ),
        migrations.CreateModel(
            name='NotificationMessage',
            fields=[
                ('delivery', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='notification', serialize=False, to='runs.run')),
                ('event', models.CharField(max_length=40)),
                ('by_email', models.BooleanField()),
                ('held_back', models.PositiveIntegerField(default=0, help_text='Events before it that were not told by themselves')),
                ('owner', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('rule', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='messages', to='runs.notificationrule')),
            ],
            options={
                'ordering': ['-delivery_id'],
                'indexes': [models.Index(fields=['rule', '-delivery'], name='notification_of_rule'), models.Index(condition=models.Q(('by_email', True)), fields=['owner', '-delivery'], name='notification_emails')],
            },
        ),
        migrations.CreateModel(
            name='NotificationMark',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('event', models.CharField(choices=[('run.failed', 'run.failed'), ('run.recovered', 'run.recovered'), ('run.slow', 'run.slow'), ('schedule.missed', 'schedule.missed'), ('process.pending', 'process.pending'), ('process.changed', 'process.changed'), ('crawler.timeout', 'crawler.timeout'), ('worker.lost', 'worker.lost'), ('queue.late', 'queue.late')], max_length=40)),
                ('subject', models.CharField(max_length=500)),
                ('at', models.DateTimeField(default=django.utils.timezone.now)),
                ('rule', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='runs.notificationrule')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('rule', 'event', 'subject'), name='notification_mark_once')],
            },
        ),
        migrations.CreateModel(
            name='RunTally',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('hour', models.DateTimeField(help_text='When it began')),
                ('kind', models.CharField(max_length=40)),
                ('name', models.CharField(max_length=200)),
                ('state', models.CharField(max_length=10)),
                ('runs', models.IntegerField()),
                ('took_bins', django.contrib.postgres.fields.ArrayField(base_field=models.SmallIntegerField(), size=None)),
                ('took_runs', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), size=None)),
                ('waited_bins', django.contrib.postgres.fields.ArrayField(base_field=models.SmallIntegerField(), size=None)),
                ('waited_runs', django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), size=None)),
                ('owner', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'indexes': [models.Index(fields=['owner', 'hour'], name='run_tally_owner')],
                'constraints': [models.UniqueConstraint(fields=('hour', 'owner', 'kind', 'name', 'state'), name='run_tally_once')],
            },
        ),
    ]
