from django.db import migrations


def token_index(apps, schema_editor):
    """Finds the directions that hold a token; SQLite, without such an index, scans."""
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            "CREATE INDEX direction_token_ids ON atlas_direction USING gin (token_ids)"
        )


def token_index_drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP INDEX direction_token_ids")


class Migration(migrations.Migration):
    dependencies = [("atlas", "0001_initial")]
    operations = [migrations.RunPython(token_index, token_index_drop)]
