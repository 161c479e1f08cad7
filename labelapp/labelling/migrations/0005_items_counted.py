from django.db import migrations
from django.db.models import BooleanField, Count, ExpressionWrapper, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce


def count_what_stands(apps, schema_editor):
    Project = apps.get_model("labelling", "Project")
    Item = apps.get_model("labelling", "Item")
    Judgement = apps.get_model("judgements", "Judgement")
    for project in Project.objects.iterator():
        standing = Judgement.objects.filter(
            source=f"project:{project.pk}", direction=OuterRef("direction"), current=True, judge__type="person"
        )
        counts = standing.order_by().values("direction").annotate(n=Count("pk")).values("n")
        items = Item.objects.filter(project=project)
        items.update(n_judged=Coalesce(Subquery(counts), 0))
        items.update(is_open=ExpressionWrapper(Q(n_judged__lt=project.overlap), output_field=BooleanField()))


class Migration(migrations.Migration):

    dependencies = [
        ('labelling', '0004_queue'),
        ('judgements', '0001_initial'),
    ]

    operations = [
        migrations.RunPython(count_what_stands, migrations.RunPython.noop),
    ]
