"""The indexes of the columns before, built while the hub goes on: a ledger may have millions of rows."""

import django.contrib.postgres.indexes
from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("runs", "0012_run_options")]

    operations = [
        AddIndexConcurrently(
            model_name='run',
            index=models.Index(models.F('kind'), models.F('owner'), models.OrderBy(models.F('priority'), descending=True), models.F('id'), condition=models.Q(('ready', True)), name='run_next'),
        ),
        AddIndexConcurrently(
            model_name='run',
            index=models.Index(models.F('owner'), models.F('concurrency_key'), models.OrderBy(models.F('priority'), descending=True), models.F('id'), condition=models.Q(('blocked', True), ('finished_at__isnull', True)), name='run_blocked'),
        ),
        AddIndexConcurrently(
            model_name='run',
            index=models.Index(condition=models.Q(models.Q(('concurrency_key', ''), _negated=True), models.Q(('ready', True), ('lease_until__isnull', False), _connector='OR')), fields=['owner', 'concurrency_key'], name='run_admitted'),
        ),
        AddIndexConcurrently(
            model_name='run',
            index=models.Index(condition=models.Q(('expires_at__isnull', False), ('state', 'PENDING')), fields=['expires_at'], name='run_expiring'),
        ),
        AddIndexConcurrently(
            model_name='run',
            index=django.contrib.postgres.indexes.GinIndex(condition=models.Q(('tags', []), _negated=True), fields=['tags'], name='run_tags'),
        ),
        AddIndexConcurrently(
            model_name='run',
            index=django.contrib.postgres.indexes.GinIndex(fields=['metadata'], opclasses=['jsonb_path_ops'], condition=models.Q(('metadata', {}), _negated=True), name='run_metadata'),
        ),
        RemoveIndexConcurrently(
            model_name='run',
            name='run_ready',
        ),
    ]
