"""The command `treering`: finds its subcommands when they are called, and ends every error in one sentence."""

from __future__ import annotations

from importlib import import_module

import click

import treering

from .console import Mannered
from .helping import Narrow, in_columns

COMMANDS = {
    "embed": "Make pictures that carry the mark of a class.",
    "detect": "Read the mark of pictures.",
    "verify": "Check a folder of pictures and count what is found.",
    "report": "Tell the results of a run on one page.",
    "serve": "A page and an API that read marks.",
    "keys": "Make, show and move keyrings.",
    "edit": "Change a masked part of a picture; keep the rest.",
    "attack": "Do to pictures what may happen to them: compress, crop, blur, regenerate.",
    "experiment": "Measure the decoder-inversion paper and treering itself.",
}
"""Name of every subcommand (and of its module) and its line in the help."""


class LazyGroup(Mannered, click.Group):
    """A group that imports a subcommand's module only to run it or to show its own help."""

    context_class = Narrow

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a subcommand."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"{__package__}.{cmd_name}").command
        return in_columns(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the subcommands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True, "max_content_width": 110},
)
@click.version_option(treering.__version__, prog_name="treering")
def main() -> None:
    """Watermarks in the initial noise of latent diffusion models: write them, and read them back.

    \b
    Try it, with the small model that comes along:
      treering embed --key 2 --output pictures
      treering detect pictures/*.png

    \b
    Exit codes:
      0    done
      1    an error, told in one sentence
      2    wrong usage
      3    a batch that finished although some files failed or are not assessable
      130  interrupted (143 by a kill)
    """
