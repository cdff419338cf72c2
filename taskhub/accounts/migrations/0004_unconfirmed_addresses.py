from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0003_scopes_of_keys'),
    ]

    operations = [
        migrations.AddField(
            model_name='user',
            name='email_unconfirmed',
            field=models.BooleanField(
                'e-mail address not confirmed',
                db_default=False,
                default=False,
                help_text='The user has written it down, and nobody else: notifications are not sent to it.',
            ),
        ),
    ]
