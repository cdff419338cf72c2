from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('sequences', '0003_step_notes'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='sequencestep',
            options={'permissions': [('run_sequence', 'Can run sequences')]},
        ),
    ]
