import django.db.models.deletion
import django.utils.timezone
import taskhub.security.sealed_values
import uuid_utils.compat
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    replaces = [
        ('walkers', '0001_graphs_and_files'),
        ('walkers', '0002_sealed_contexts'),
    ]

    initial = True

    dependencies = [
        ('runs', '0001_ledger_squashed_0018_run_tallies'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Graph',
            fields=[
                ('id', models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(blank=True, default='', max_length=200)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('owner', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='graphs', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-id'],
                'indexes': [models.Index(fields=['owner', '-id'], name='graph_owner')],
            },
        ),
        migrations.CreateModel(
            name='Node',
            fields=[
                ('id', models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('kind', models.CharField(blank=True, default='', max_length=100)),
                ('context', taskhub.security.sealed_values.SealedJSONField(blank=True, default=dict)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('graph', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='nodes', to='walkers.graph')),
            ],
            options={
                'indexes': [models.Index(fields=['graph', 'id'], name='node_graph')],
            },
        ),
        migrations.CreateModel(
            name='Edge',
            fields=[
                ('id', models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('kind', models.CharField(blank=True, default='', max_length=100)),
                ('context', taskhub.security.sealed_values.SealedJSONField(blank=True, default=dict)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('graph', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='edges', to='walkers.graph')),
                ('source', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='edges_out', to='walkers.node')),
                ('target', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='edges_in', to='walkers.node')),
            ],
            options={
                'indexes': [models.Index(fields=['graph', 'id'], name='edge_graph'), models.Index(fields=['source', 'id'], name='edge_source'), models.Index(fields=['target', 'id'], name='edge_target')],
            },
        ),
        migrations.CreateModel(
            name='Profile',
            fields=[
                ('user', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='walking', serialize=False, to=settings.AUTH_USER_MODEL)),
                ('active_sentinel', models.CharField(blank=True, default='', help_text='Empty: global, all of them', max_length=200)),
                ('active_graph', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='active_for', to='walkers.graph')),
            ],
        ),
        migrations.CreateModel(
            name='RunFile',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('field', models.CharField(max_length=200)),
                ('name', models.CharField(max_length=255)),
                ('content_type', models.CharField(blank=True, default='', max_length=255)),
                ('size', models.PositiveBigIntegerField()),
                ('sha256', models.CharField(max_length=64)),
                ('path', models.CharField(db_index=True, help_text='In the default storage; shared by retries', max_length=255)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('run', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='files', to='runs.run')),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('run__isnull', True)), fields=['created_at'], name='run_file_abandoned')],
            },
        ),
        migrations.CreateModel(
            name='Alias',
            fields=[
                ('id', models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=200)),
                ('target', models.UUIDField(help_text='The id of a node, edge, graph, sentinel or user')),
                ('owner', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='aliases', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name_plural': 'aliases',
                'constraints': [models.UniqueConstraint(models.F('owner'), models.F('name'), name='alias_name')],
            },
        ),
    ]
