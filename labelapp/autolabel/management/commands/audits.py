import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from labelapp.autolabel.audits import AuditError, audit_get, audit_items, findings, source_get


class Command(BaseCommand):
    help = "Count what the audits find in the labels of a run or an import, or list the items of one audit."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("source", help="like run:3 or import:1")
        parser.add_argument("--audit", default="", help="list this one's items: key, label, what was seen")
        parser.add_argument("--json", action="store_true", help="as one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            source = source_get(options["source"])
            audit = audit_get(options["audit"]) if options["audit"] else None
        except AuditError as error:
            raise CommandError(str(error)) from None
        found = findings(source)
        if audit is not None:
            self._list(audit.name, found.found[audit.name], as_json=options["json"])
        elif options["json"]:
            counts = {it.audit.name: it.count for it in found.counts}
            self.stdout.write(json.dumps({"source": source.address, "n": found.n, "audits": counts}))
        else:
            self.stdout.write(f"{source.title}, {found.n} judgements")
            for it in found.counts:
                self.stdout.write(f"{it.count:>7}  {it.audit.name:<24} {it.audit.definition}")

    def _list(self, name: str, found: Any, *, as_json: bool) -> None:
        rows = [(str(it.direction.key), it.judgement.label, it.note) for it in audit_items(found, limit=None)]
        if as_json:
            items = [{"key": key, "label": label, "note": note} for key, label, note in rows]
            self.stdout.write(json.dumps({"audit": name, "items": items}))
            return
        for row in rows:
            self.stdout.write("\t".join(row).rstrip("\t"))
