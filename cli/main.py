"""The command `treering`: finds its subcommands when they are called, and ends every error in one sentence."""

from __future__ import annotations

from importlib import import_module

import click

import treering
from treering.errors import InputError

from . import configuration
from .console import Mannered, say
from .helping import Narrow, in_columns

COMMANDS = {
    "embed": "Make pictures that carry the mark of a class.",
    "detect": "Read the mark of pictures.",
    "verify": "Check a folder of pictures and count what is found.",
    "report": "Tell the results of a run on one page.",
    "serve": "A page and an API that read marks.",
    "audit": "Tell how exposed published pictures are to somebody who averages them.",
    "check": "Check evidence that somebody gave.",
    "c2pa": "Write evidence into a copy of the picture, as Content Credentials.",
    "keys": "Make, show and move keyrings.",
    "edit": "Change a masked part of a picture; keep the rest.",
    "attack": "Do to pictures what may happen to them: compress, crop, blur, regenerate.",
    "experiment": "Measure the decoder-inversion paper and treering itself.",
    "doctor": "Look whether everything works here, and say what is missing.",
    "completion": "Let the shell complete commands and options.",
}
"""Name of every subcommand (and of its module) and its line in the help."""


BELOW = {
    "keys": ("new", "show", "path", "set", "upgrade", "export", "name", "retire", "names", "commit", "reveal", "signer")
}
"""Names of the commands below one."""

_SILENT = ("completion", "doctor")
_ASKED = f"{__name__}.asked"
"""Whether a command's help is asked for, which broken settings must not keep from anybody."""


class LazyGroup(Mannered, click.Group):
    """A group that imports a subcommand's module only to run it or to show its own help."""

    context_class = Narrow

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click's, which has no other place to see what a subcommand is asked."""
        ctx.meta[_ASKED] = bool({"-h", "--help"}.intersection(args))
        return super().parse_args(ctx, args)

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
@click.pass_context
def main(ctx: click.Context) -> None:
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
    try:
        found = configuration.load()
    except InputError:
        if ctx.invoked_subcommand not in _SILENT and not ctx.meta[_ASKED]:
            raise
        return  # help is shown, and the doctor tells what is wrong
    ctx.default_map = found.default_map({name: BELOW.get(name, ()) for name in COMMANDS})
    if found.path and found.settings and ctx.invoked_subcommand not in _SILENT:
        say(f"Settings from {found.path}: {', '.join(found.settings)}.")
