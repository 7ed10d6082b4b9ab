"""``treering completion``: the shell completes commands, options and files."""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from treering import files

from .console import COMPLETING, Failure, say

SHELLS = ("bash", "zsh", "fish")


@click.command(short_help="Let the shell complete commands and options.")
@click.argument("shell", type=click.Choice(SHELLS), required=False, metavar="[bash|zsh|fish]")
@click.option("--show", is_flag=True, help="Print the script instead of installing it.")
@click.pass_context
def command(ctx: click.Context, shell: str | None, show: bool) -> None:
    """Let the shell complete commands and options: for the shell that is named, else for the one in $SHELL.

    It is installed where your shell looks for such scripts, for you alone; nothing else is changed. It works in
    shells that are opened from then on.
    """
    shell = shell or _own_shell()
    script = _script(ctx, shell)
    if show:
        return click.echo(script)
    path = _place(shell)
    with files.explained(path):
        files.make_folder(path.parent)
        files.write(path, script.encode())
    say(f"Installed in {path}; it works in shells that are opened from now on.")
    if shell == "zsh":
        say(f"Your .zshrc must name its folder, before compinit: fpath+=({path.parent})")


def _own_shell() -> str:
    name = Path(os.environ.get("SHELL", "")).name
    if name not in SHELLS:
        raise Failure(f"Which shell is not known from $SHELL; name one of {', '.join(SHELLS)}.")
    return name


def _script(ctx: click.Context, shell: str) -> str:
    kind = get_completion_class(shell)
    if kind is None:
        raise Failure(f"This version of click does not complete for {shell}.")
    script = kind(ctx.find_root().command, {}, "treering", COMPLETING)
    # Not its source(), which runs the installed bash to ask for its version, and prints what it thinks of that.
    return script.source_template % script.source_vars()


def _place(shell: str) -> Path:
    """Where each shell looks by itself: bash-completion, fish; zsh where its fpath says."""
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    settings = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    places = {
        "bash": data / "bash-completion" / "completions" / "treering",
        "zsh": data / "zsh" / "site-functions" / "_treering",
        "fish": settings / "fish" / "completions" / "treering.fish",
    }
    return places[shell]
