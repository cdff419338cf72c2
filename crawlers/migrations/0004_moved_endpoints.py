from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('crawlers', '0003_kept_words_and_progress'),
    ]

    operations = [
        migrations.AddField(
            model_name='external',
            name='moved_at',
            field=models.DateTimeField(editable=False, help_text='When its endpoint last got another origin', null=True),
        ),
    ]
