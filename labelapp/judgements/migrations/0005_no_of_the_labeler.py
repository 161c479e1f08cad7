"""Where the verifier of a judge was not asked, since the labeler named nothing, `both` has the labeler's no: counted."""

from collections import Counter

from django.db import migrations

RULES = ("both", "both_specific")


def count(apps, schema_editor):
    from labelapp.judgements.models import verifier_named
    from labelapp.judgements.summaries import COLUMNS, pairs_of, standing

    Judge, Judgement, Summary, Verification = (
        apps.get_model("judgements", name) for name in ("Judge", "Judgement", "Summary", "Verification")
    )
    for judge in Judge.objects.exclude(type="person"):
        rows = Judgement.objects.filter(judge=judge, current=True, subject="direction")
        unasked = rows.exclude(verdict="interpretable").filter(verifications=None).order_by()
        matrices = unasked.values_list("direction__matrix_id", flat=True).distinct() if verifier_named(judge.parameters) else ()
        for matrix in matrices:
            found = list(standing(rows.filter(direction__matrix=matrix), Verification))
            counts = Counter((rule, str(verdict)) for row in found for rule, verdict in row.by_rule.items())
            counts.update({(rule, column): n for (_, rule, column), n in pairs_of(found).items()})
            for rule in RULES:
                columns = {column: counts[rule, column] for column in COLUMNS}
                Summary.objects.update_or_create(matrix_id=matrix, judge=judge, rule=rule, defaults=columns)


class Migration(migrations.Migration):

    dependencies = [
        ('judgements', '0004_ends_of_vectors'),
    ]

    operations = [
        migrations.RunPython(count, migrations.RunPython.noop, elidable=True),
    ]
