from importlib.metadata import version
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from labelapp.figures.specs import VEGA_LITE

# `export`, so that nothing leaks into the page: the file is loaded as a module.
SNIPPET = "export { vegaEmbed };"


def bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed with all that they need, as one module; the first line says what it is."""
    import vl_convert

    vega, embed = vl_convert.get_vega_version(), vl_convert.get_vega_embed_version()
    versions = f"Vega {vega}, Vega-Lite {VEGA_LITE}, Vega-Embed {embed}"
    made = f"made by manage.py vega_bundle with vl-convert-python {version('vl-convert-python')}; see README.md"
    return f"// {versions}; {made}\n{vl_convert.javascript_bundle(SNIPPET, vl_version=VEGA_LITE)}"


class Command(BaseCommand):
    help = "Write static/vendor/vega.js, the plotting library that pages load, from vl-convert's own copy."

    def handle(self, *args: Any, **options: Any) -> None:
        target = Path(settings.BASE_DIR) / "static" / "vendor" / "vega.js"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(bundle(), encoding="utf-8")
        self.stdout.write(f"Wrote {target} ({target.stat().st_size / 1000:.0f} kB).")
