"""What PostgreSQL knows of a table when it plans."""

from django.db import connection, models


def forget_statistics(model: type[models.Model]) -> None:
    """Makes PostgreSQL know nothing of a table. Until the test is undone autovacuum cannot look at it either.

    It might have done so while all rows looked alike, and then an index that leaves a column out would look as good.
    """
    table = model._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_clear_relation_stats(current_schema(), %s)", [table])
        for field in model._meta.local_concrete_fields:
            cursor.execute("SELECT pg_clear_attribute_stats(current_schema(), %s, %s, false)", [table, field.column])
