"""`Task`, `Call` and `Rejected` become `CrawlerTask`, `CrawlerCall` and `RejectedLine`. Their tables keep their names."""

from functools import partial

from django.conf import settings
from django.db import migrations, models

from taskhub.db.permissions import rename_default_permissions

RENAMED = [("Task", "CrawlerTask"), ("Call", "CrawlerCall"), ("Rejected", "RejectedLine")]


def _rename_permissions(apps, schema_editor, *, back=False):
    for old, new in RENAMED:
        rename_default_permissions(apps, "crawlers", *((new, old) if back else (old, new)))


class Migration(migrations.Migration):
    dependencies = [
        ("crawlers", "0001_crawlers"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        # A table that is named before its model is renamed is left alone by the renaming.
        *(migrations.AlterModelTable(old.lower(), f"crawlers_{old.lower()}") for old, _ in RENAMED),
        *(migrations.RenameModel(old, new) for old, new in RENAMED),
        migrations.AlterModelOptions(
            name='crawlercall',
            options={'verbose_name': 'call'},
        ),
        migrations.AlterModelOptions(
            name='crawlertask',
            options={'verbose_name': 'task'},
        ),
        migrations.AlterModelOptions(
            name='rejectedline',
            options={},
        ),
        migrations.AlterField(
            model_name='crawler',
            name='meta',
            field=models.JSONField(default=dict, help_text='Its name, and whatever else describes it'),
        ),
        migrations.AlterField(
            model_name='crawler',
            name='removed_at',
            field=models.DateTimeField(editable=False, help_text='When it was deleted; its row goes later', null=True),
        ),
        migrations.AlterField(
            model_name='crawlertask',
            name='bytes',
            field=models.BigIntegerField(default=0, help_text='Received, after decompression'),
        ),
        migrations.AlterField(
            model_name='crawlertask',
            name='callback',
            field=models.TextField(blank=True, default='', help_text="Address for the crawler's notices of status changes"),
        ),
        migrations.AlterField(
            model_name='crawlertask',
            name='meta',
            field=models.JSONField(default=dict, help_text='Its name, and whatever else describes it'),
        ),
        migrations.AlterField(
            model_name='crawlertask',
            name='removed_at',
            field=models.DateTimeField(editable=False, help_text='When it was deleted; its row goes later', null=True),
        ),
        migrations.AlterField(
            model_name='external',
            name='credential',
            field=models.CharField(choices=[('none', 'none'), ('ignore', 'credentials are ignored'), ('basic', 'username and password'), ('oauth', 'a token')], default='none', max_length=10),
        ),
        migrations.AlterField(
            model_name='external',
            name='id_field',
            field=models.TextField(default='', help_text="The member that is a document's id; empty: its content is"),
        ),
        migrations.AlterField(
            model_name='external',
            name='meta',
            field=models.JSONField(default=dict, help_text='Its name, and whatever else describes it'),
        ),
        migrations.AlterField(
            model_name='external',
            name='removed_at',
            field=models.DateTimeField(editable=False, help_text='When it was deleted; its row goes later', null=True),
        ),
        migrations.AlterField(
            model_name='stream',
            name='documents',
            field=models.BigIntegerField(default=0, help_text='How many readers see'),
        ),
        migrations.AlterField(
            model_name='stream',
            name='meta',
            field=models.JSONField(default=dict, help_text='Its name, and whatever else describes it'),
        ),
        migrations.AlterField(
            model_name='stream',
            name='removed_at',
            field=models.DateTimeField(editable=False, help_text='When it was deleted; its row goes later', null=True),
        ),
        migrations.RunPython(_rename_permissions, partial(_rename_permissions, back=True)),
    ]
