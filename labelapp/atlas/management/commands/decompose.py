from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser, DjangoHelpFormatter

from labelapp.atlas.keys import CIRCUITS, COMPUTED_BASES, CONTROLS, PREPROCESSINGS
from labelapp.atlas.selection import ALL, NO_CONTROL, SelectionError, names_parse, variants_of
from labelapp.atlas.services import DEVICE, DIRECTIONS, TOP, decompose_start
from labelapp.jobs.follow import job_follow
from workers.weights.spectrum import BLOCK_THRESHOLD

VARIANTS = """
Preprocessing, basis and control take several names with commas; every combination is computed, each as matrices of
its own, and what is stored already is not computed again. A seed follows its name, as in keys: rotated.3, gaussian.7.

  decompose gpt2 --basis svd,rotated,neuron          the directions, and what they are compared with
  decompose gpt2 --control gaussian,covariance       noise through the same pipeline, for false-positive rates
  decompose gpt2 --preprocessing folded              norms folded into the weights
  decompose gpt2 --circuits qk --directions all      a circuit that the post left aside, whole

The block threshold is the relative gap up to which neighbouring singular values count as nearly equal; inside such a
block single directions mean nothing, only their span does. The default, 2^-10, is what storing the weights in float16
can blur; take a larger one to ask for directions that would also survive more training or another seed (say .01).
It belongs to the model: matrices that are stored are bracketed anew at once, without being computed again.
"""


class HelpFormatter(RawDescriptionHelpFormatter, DjangoHelpFormatter):
    """Django's, which puts --verbosity and the like last, without its wrapping of the text below."""


class Command(BaseCommand):
    help = "Decompose a model's weight matrices and read their directions out."

    def create_parser(self, prog_name: str, subcommand: str, **options: Any) -> CommandParser:
        return super().create_parser(
            prog_name, subcommand, epilog=VARIANTS, **{"formatter_class": HelpFormatter, **options}
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("model", help="a folder with a checkpoint, or a name on the Hugging Face hub")
        parser.add_argument("--name", default="", help="the name in keys and on pages (default: the model's own)")
        parser.add_argument("--circuits", help=f"like ov,mlp_in (of {', '.join(CIRCUITS)}; default: the post's)")
        parser.add_argument("--layers", default="", help="like 0,5,9-11 (default: all)")
        parser.add_argument(
            "--directions",
            type=_count_or_all,
            default=DIRECTIONS,
            metavar="N",
            help=f"vectors of each matrix, or all (default: {DIRECTIONS})",
        )
        parser.add_argument("--top", type=int, default=TOP, help=f"tokens in each readout (default: {TOP})")
        parser.add_argument("--preprocessing", default="raw", help=f"of {', '.join(PREPROCESSINGS)} (default: raw)")
        parser.add_argument("--basis", default="svd", help=f"of {', '.join(COMPUTED_BASES)} (default: svd)")
        parser.add_argument(
            "--control",
            default=NO_CONTROL,
            help=f"of {', '.join(CONTROLS)}; none is the model's own weights (default: none)",
        )
        parser.add_argument(
            "--device", default=DEVICE, help="auto, cpu, cuda or cuda:N (default: auto, CUDA where there is one)"
        )
        parser.add_argument(
            "--block-threshold",
            type=_share,
            metavar="GAP",
            help=f"relative gap up to which neighbours form a block (default: the model's; {BLOCK_THRESHOLD:.3g})",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        for name in ("directions", "top"):
            if options[name] is not None and options[name] < 1:
                raise CommandError(f"--{name} must be at least 1, not {options[name]}.")
        try:
            variants = variants_of(
                names_parse("preprocessing", options["preprocessing"], PREPROCESSINGS) or PREPROCESSINGS,
                names_parse("basis", options["basis"], COMPUTED_BASES) or COMPUTED_BASES,
                names_parse("control", options["control"], (NO_CONTROL, *CONTROLS)) or (NO_CONTROL, *CONTROLS),
            )
        except SelectionError as error:
            raise CommandError(str(error)) from None
        job = decompose_start(
            source=options["model"],
            name=options["name"],
            circuits=options["circuits"].split(",") if options["circuits"] else None,
            layers=options["layers"],
            directions=options["directions"],
            top=options["top"],
            variants=variants,
            device=options["device"],
            block_threshold=options["block_threshold"],
        )
        job_follow(job)
        self.stdout.write(self.style.SUCCESS("Decomposed. The models page and `manage.py show KEY` show it."))


def _count_or_all(text: str) -> int | None:
    if text == ALL:
        return None
    try:
        return int(text)
    except ValueError:
        raise ArgumentTypeError(f"give a number or all, not {text!r}.") from None


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise ArgumentTypeError(f"a relative gap lies from 0 to below 1, as .001 does; not {text!r}.")
    return value
