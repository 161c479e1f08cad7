from django.db import migrations


def keep_as_it_was(apps, schema_editor):
    """Projects made before are open, under their threshold, and whoever may judge in them may still judge every item."""
    Project = apps.get_model("labelling", "Project")
    Guidelines = apps.get_model("labelling", "Guidelines")
    Membership = apps.get_model("labelling", "Membership")
    for project in Project.objects.iterator():
        judges = Membership.objects.filter(project=project, role__in=["owner", "reviewer", "annotator"]).count()
        Project.objects.filter(pk=project.pk).update(overlap=max(1, judges), opened_at=project.created_at)
        Guidelines.objects.filter(project=project).update(threshold=project.threshold)


class Migration(migrations.Migration):

    dependencies = [
        ('labelling', '0002_projects'),
    ]

    operations = [
        migrations.RunPython(keep_as_it_was, migrations.RunPython.noop),
    ]
