"""README, help and code say the same."""

import configparser
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from treering_cli import console
from treering_cli.main import COMMANDS, main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = "\n".join([README, *(path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("docs/**/*.md")))])
"""README and what lies in docs/."""


def commands(group, prefix="treering"):
    context = click.Context(group, info_name=prefix)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield f"{prefix} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix} {name}")


def test_every_command_is_documented():
    for name, command in commands(main):
        if not isinstance(command, click.Group):
            assert f"`{name}" in DOCUMENTS, name


def test_options_named_in_the_documents_exist():
    known = {option for _, command in commands(main) for p in command.params for option in p.opts}
    known |= {"--help", "--version"}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", DOCUMENTS)) <= known


def test_every_exit_code_is_documented():
    told = CliRunner().invoke(main, ["--help"]).output
    for code in (0, console.FAILED, 2, console.SOME_FAILED, console.INTERRUPTED):
        assert re.search(rf"^    {code} +\w", told, re.M)
        assert re.search(rf"(Exit codes:|;)\s{code} \w", README)


def test_the_lowest_versions_that_are_claimed_are_those_that_are_tested():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = setup["options.extras_require"]
    claims = "\n".join([setup["options"]["install_requires"], extras["plots"], extras["test"]]).split()
    text = (ROOT / "constraints-lowest.txt").read_text(encoding="utf-8")
    tested = {}
    for line in text.splitlines():
        name, _, version = line.partition(" ;")[0].partition("==")
        tested.setdefault(name, []).append(version)
    for claim in claims:
        name, _, lowest = claim.partition(";")[0].partition(">=")
        assert lowest, claim
        assert all(f"{version}.".startswith(f"{lowest}.") for version in tested[name]), claim


def test_every_parameter_has_a_help_text():
    for name, command in commands(main):
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name} {parameter.name}"


def test_the_short_help_is_the_commands_own():
    listed = dict(commands(main))
    for name, text in COMMANDS.items():
        assert listed[f"treering {name}"].get_short_help_str(200) == text


def test_the_two_commands_are_single_lines():
    for marker in ("main-command", "test-command"):
        block = re.search(rf"<!-- {marker} -->\n```sh\n(.*?)\n```", README, re.S)
        assert block
        assert "\n" not in block[1]


def test_the_library_example_runs(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = re.search(r"## The library\n\n```python\n(.*?)```", README, re.S)
    assert code
    space: dict[str, object] = {}
    exec(code[1], space)
    assert space["result"].key == 2


@pytest.mark.parametrize("link", re.findall(r"\]\((?!http)([^)#]+)\)", README))
def test_links_lead_somewhere(link):
    assert (Path(__file__).parent.parent / link).exists()
