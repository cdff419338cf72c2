import django.db.models.deletion
import django.utils.timezone
import extraction.domain.process_status
import extraction.models
import taskhub.security.encryption
import taskhub.security.sealed_values
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    replaces = [
        ('extraction', '0001_extraction'),
        ('extraction', '0002_reach'),
        ('extraction', '0003_unique_model_names'),
        ('extraction', '0004_words_of_the_glossary'),
        ('extraction', '0005_rendered_processes'),
        ('extraction', '0006_sealed_addresses'),
        ('extraction', '0007_process_warnings'),
        ('extraction', '0008_failed_turns'),
        ('extraction', '0009_records_left_out'),
        ('extraction', '0010_hops'),
        ('extraction', '0011_compared_records'),
    ]

    initial = True

    dependencies = [
        ('runs', '0001_ledger_squashed_0018_run_tallies'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='ExtractionTask',
            fields=[
                ('seq', models.BigAutoField(primary_key=True, serialize=False)),
                ('id', models.CharField(default=extraction.models.new_id, editable=False, max_length=27, unique=True)),
                ('payload', taskhub.security.encryption.EncryptedJSONField(help_text='What to take from which pages')),
                ('removed_at', models.DateTimeField(editable=False, help_text='Deleted: it is going', null=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('name', models.CharField(blank=True, default='', max_length=200)),
                ('description', models.TextField(blank=True, default='')),
                ('webhook', taskhub.security.encryption.EncryptedTextField(blank=True, default='', help_text='Receives a request when a process ends')),
                ('owner', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('delivery', taskhub.security.encryption.EncryptedJSONField(default=list, help_text='Where results are sent, too')),
            ],
            options={
                'permissions': [('ignore_robots', 'Can ignore robots.txt')],
                'indexes': [models.Index(fields=['owner', '-seq'], name='extraction_task_owner')],
                'db_table': 'extraction_task',
            },
        ),
        migrations.CreateModel(
            name='Process',
            fields=[
                ('seq', models.BigAutoField(primary_key=True, serialize=False)),
                ('id', models.CharField(default=extraction.models.new_id, editable=False, max_length=27, unique=True)),
                ('payload', taskhub.security.encryption.EncryptedJSONField(help_text='What to take from which pages')),
                ('removed_at', models.DateTimeField(editable=False, help_text='Deleted: it is going', null=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('status', models.CharField(choices=[(extraction.domain.process_status.ProcessStatus['RUNNING'], extraction.domain.process_status.ProcessStatus['RUNNING']), (extraction.domain.process_status.ProcessStatus['FINISHED'], extraction.domain.process_status.ProcessStatus['FINISHED']), (extraction.domain.process_status.ProcessStatus['CANCELED'], extraction.domain.process_status.ProcessStatus['CANCELED']), (extraction.domain.process_status.ProcessStatus['FAILED'], extraction.domain.process_status.ProcessStatus['FAILED']), (extraction.domain.process_status.ProcessStatus['PENDING'], extraction.domain.process_status.ProcessStatus['PENDING'])], default=extraction.domain.process_status.ProcessStatus['RUNNING'], max_length=10)),
                ('main', models.BinaryField(help_text='The chain of its main list, once that is begun', max_length=16, null=True)),
                ('unwritten', models.BooleanField(default=False, help_text='Its result is to be written')),
                ('started_at', models.DateTimeField(null=True)),
                ('finished_at', models.DateTimeField(null=True)),
                ('served_at', models.DateTimeField(help_text='When a worker last took a slice of it', null=True)),
                ('rest_until', models.DateTimeField(help_text='Its servers, or the storage, want to be left alone so long', null=True)),
                ('requests', models.BigIntegerField(default=0)),
                ('responses', models.BigIntegerField(default=0)),
                ('pages', models.BigIntegerField(default=0, help_text='In the page table')),
                ('open', models.BigIntegerField(default=0, help_text='Pages that have not ended')),
                ('failed', models.BigIntegerField(default=0, help_text='Pages that failed')),
                ('records', models.BigIntegerField(default=0, help_text='Found in pages, those of details included')),
                ('bytes', models.BigIntegerField(default=0, help_text='Of the answers')),
                ('cost', models.BigIntegerField(default=0, help_text='Credits')),
                ('max_credits', models.BigIntegerField(help_text='It may cost so much', null=True)),
                ('missing', models.BigIntegerField(default=0, help_text='Credits that it waits for')),
                ('capped', models.BooleanField(default=False, help_text='It waits for a higher cap, not for credits')),
                ('main_failed', models.BooleanField(default=False, help_text='A page of its main list failed')),
                ('error', models.TextField(default='')),
                ('results', models.CharField(default='', help_text='The name of its file', max_length=200)),
                ('size', models.BigIntegerField(default=0, help_text='Of its file, in bytes')),
                ('format', models.CharField(max_length=10)),
                ('gzip', models.BooleanField(default=False)),
                ('cookies', taskhub.security.encryption.EncryptedJSONField(default=list, help_text='What its servers asked to keep')),
                ('owner', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('run', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='runs.run')),
                ('task', models.ForeignKey(db_index=False, help_text='None of a single process', null=True, on_delete=django.db.models.deletion.CASCADE, related_name='processes', to='extraction.extractiontask')),
                ('delivery', taskhub.security.encryption.EncryptedJSONField(default=list, help_text='Where its result is sent, too')),
                ('price', models.BigIntegerField(default=1, help_text='Credits for one of its pages, at most')),
                ('renders', models.JSONField(default=dict, help_text='Of which rules pages show records only when they are rendered')),
                ('rendered', models.BooleanField(db_default=False, default=False, help_text='A browser renders pages of it')),
                ('findings', models.JSONField(db_default={}, default=dict, help_text='What its rules found so far, by their numbers')),
                ('failed_turns', models.PositiveSmallIntegerField(db_default=0, default=0, help_text='Turns that failed one after the other')),
                ('changes', models.JSONField(db_default={}, default=dict, help_text='How many of its records are new, and so on')),
                ('compared_with', models.BigIntegerField(help_text='The process before it; 0 where there was none', null=True)),
                ('compares', models.BooleanField(db_default=False, default=False, help_text='With the process before')),
                ('listed', models.BigIntegerField(db_default=0, default=0, help_text='Records of the result itself, found in pages')),
            ],
            options={
                'verbose_name_plural': 'processes',
                'indexes': [models.Index(fields=['owner', '-seq'], name='process_owner'), models.Index(fields=['task', '-seq'], name='process_task'), models.Index(condition=models.Q(('run__isnull', False)), fields=['run'], name='process_run'), models.Index(condition=models.Q(('status', extraction.domain.process_status.ProcessStatus['RUNNING'])), fields=['served_at'], name='process_active'), models.Index(condition=models.Q(('unwritten', True)), fields=['served_at'], name='process_unwritten'), models.Index(condition=models.Q(('status', extraction.domain.process_status.ProcessStatus['PENDING'])), fields=['owner'], name='process_pending'), models.Index(condition=models.Q(('results', ''), _negated=True), fields=['results'], name='process_results'), models.Index(condition=models.Q(('results', ''), _negated=True), fields=['finished_at'], name='process_finished')],
            },
        ),
        migrations.CreateModel(
            name='Slice',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('worker', models.CharField(max_length=255)),
                ('lease_until', models.DateTimeField()),
                ('reserved', models.BigIntegerField(default=0)),
                ('spent', models.BigIntegerField(default=0)),
                ('started_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('process', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='slices', to='extraction.process')),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('spent__lte', models.F('reserved'))), name='slice_within_reserve')],
            },
        ),
        migrations.CreateModel(
            name='ExtractionPage',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.BinaryField(max_length=16)),
                ('chain', models.BinaryField(max_length=16)),
                ('ordinal', models.IntegerField(default=0)),
                ('before', models.BinaryField(default=b'', help_text='Digest of what the page before it showed', max_length=16)),
                ('rule', models.SmallIntegerField(default=0)),
                ('url', taskhub.security.sealed_values.SealedTextField()),
                ('state', models.CharField(choices=[(extraction.domain.process_status.PageState['READY'], extraction.domain.process_status.PageState['READY']), (extraction.domain.process_status.PageState['CLAIMED'], extraction.domain.process_status.PageState['CLAIMED']), (extraction.domain.process_status.PageState['DONE'], extraction.domain.process_status.PageState['DONE']), (extraction.domain.process_status.PageState['FAILED'], extraction.domain.process_status.PageState['FAILED']), (extraction.domain.process_status.PageState['REPEATED'], extraction.domain.process_status.PageState['REPEATED'])], default=extraction.domain.process_status.PageState['READY'], max_length=10)),
                ('slice', models.BigIntegerField(help_text='Who has claimed it', null=True)),
                ('attempt', models.PositiveSmallIntegerField(default=0)),
                ('lost', models.PositiveSmallIntegerField(default=0, help_text='Workers that were lost while they had it')),
                ('not_before', models.DateTimeField(null=True)),
                ('status', models.PositiveSmallIntegerField(help_text='Of the last answer', null=True)),
                ('bytes', models.BigIntegerField(default=0)),
                ('duration_ms', models.IntegerField(default=0)),
                ('cost', models.IntegerField(default=0)),
                ('found', models.IntegerField(default=0, help_text='Records')),
                ('error', models.TextField(default='')),
                ('records', models.BinaryField(null=True)),
                ('fetched_at', models.DateTimeField(null=True)),
                ('process', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='extraction.process')),
                ('left_out', models.IntegerField(db_default=0, default=0, help_text='Records without a required value')),
                ('hops', models.SmallIntegerField(db_default=0, default=0, help_text='Links that were followed to it')),
            ],
            options={
                'indexes': [models.Index(fields=['process', 'id'], name='page_process'), models.Index(condition=models.Q(('state', extraction.domain.process_status.PageState['READY'])), fields=['process', 'id'], name='page_ready'), models.Index(condition=models.Q(('state', extraction.domain.process_status.PageState['CLAIMED'])), fields=['slice'], name='page_claimed'), models.Index(condition=models.Q(('state', extraction.domain.process_status.PageState['DONE']), _negated=True), fields=['process', 'state', 'id'], name='page_state'), models.Index(fields=['process', 'fetched_at', 'id'], name='page_fetched')],
                'constraints': [models.UniqueConstraint(fields=('process', 'key'), name='page_once'), models.UniqueConstraint(fields=('process', 'chain', 'ordinal'), name='page_in_list')],
                'db_table': 'extraction_page',
            },
        ),
        migrations.CreateModel(
            name='ProcessNote',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(default=django.utils.timezone.now)),
                ('text', models.TextField()),
                ('process', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='notes', to='extraction.process')),
                ('code', models.CharField(db_default='', default='', help_text='Of a warning', max_length=40)),
                ('place', models.CharField(db_default='', default='', help_text='JSON pointer of a warning', max_length=500)),
            ],
            options={
                'indexes': [models.Index(fields=['process', 'id'], name='note_process')],
                'db_table': 'extraction_note',
            },
        ),
        migrations.CreateModel(
            name='CreditAccount',
            fields=[
                ('owner', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='extraction_account', serialize=False, to=settings.AUTH_USER_MODEL)),
                ('balance', models.BigIntegerField(default=0, help_text='Credits that can be reserved')),
                ('max_pages', models.PositiveBigIntegerField(blank=True, help_text='Of one process', null=True)),
                ('max_depth', models.PositiveSmallIntegerField(blank=True, help_text='Of details in each other', null=True)),
                ('max_seconds', models.PositiveBigIntegerField(blank=True, help_text='Of one process', null=True)),
                ('max_page_bytes', models.PositiveBigIntegerField(blank=True, help_text='Of one page, unpacked', null=True)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('balance__gte', 0)), name='account_not_below_zero')],
                'db_table': 'extraction_account',
            },
        ),
        migrations.CreateModel(
            name='CreditEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('grant', 'granted at the start'), ('top_up', 'topped up'), ('reserve', 'reserved for a slice'), ('settle', 'refunded after a slice')], max_length=10)),
                ('amount', models.BigIntegerField()),
                ('balance', models.BigIntegerField(help_text='After it')),
                ('process', models.CharField(blank=True, default='', max_length=27)),
                ('note', models.TextField(blank=True, default='')),
                ('at', models.DateTimeField(default=django.utils.timezone.now)),
                ('account', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='entries', to='extraction.creditaccount')),
                ('by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name_plural': 'credit ledger',
                'indexes': [models.Index(fields=['account', '-id'], name='entry_account')],
                'db_table': 'extraction_entry',
            },
        ),
    ]
