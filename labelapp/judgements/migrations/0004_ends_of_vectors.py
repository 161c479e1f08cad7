"""Summaries count vectors by how many of their ends are interpretable; those that are there are counted now."""

from django.db import migrations, models


def count(apps, schema_editor):
    from labelapp.judgements.summaries import pairs_of, standing

    Summary, Judgement = apps.get_model("judgements", "Summary"), apps.get_model("judgements", "Judgement")
    verifications = apps.get_model("judgements", "Verification")
    of_machines = Summary.objects.exclude(judge__type="person")
    for matrix, judge in of_machines.order_by().values_list("matrix_id", "judge_id").distinct():
        rows = Judgement.objects.filter(
            direction__matrix=matrix, judge=judge, current=True, subject="direction"
        )
        found = {}
        for (_, rule, column), n in pairs_of(standing(rows, verifications)).items():
            found.setdefault(rule, {})[column] = n
        for rule, counts in found.items():
            Summary.objects.filter(matrix=matrix, judge=judge, rule=rule).update(**counts)


class Migration(migrations.Migration):

    dependencies = [
        ('judgements', '0003_pairs_and_matrices'),
    ]

    operations = [
        *(
            migrations.AddField(
                model_name='summary',
                name=name,
                field=models.IntegerField(db_default=0, default=0),
            )
            for name in ('ends_both', 'ends_none', 'ends_one')
        ),
        migrations.RunPython(count, migrations.RunPython.noop, elidable=True),
    ]
