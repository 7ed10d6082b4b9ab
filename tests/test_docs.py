"""The pages in docs/ build, agree with the commands, and their examples run."""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from treering_cli import configuration
from treering_cli.main import main

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *PAGES]}


def test_the_reference_says_what_help_says() -> None:
    code = "import runpy; print(runpy.run_path('docs/reference.py')['page'](), end='')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == TEXTS["reference.md"], "run `python docs/reference.py`"


def test_the_pages_build_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("sphinx", reason="the extra docs is not installed")
    pytest.importorskip("furo", reason="the extra docs is not installed")
    words = [sys.executable, "-W", "ignore", "-m", "sphinx", "-q", "-W", "-b", "html", str(DOCS), str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {f"{path.stem}.html" for path in PAGES} <= {path.name for path in tmp_path.glob("*.html")}


def test_every_page_is_in_the_table_of_contents() -> None:
    for path in PAGES:
        assert path.stem == "index" or re.search(rf"^{path.stem}$", TEXTS["index.md"], re.M)


@pytest.mark.parametrize("name", TEXTS)
def test_links_and_paths_lead_somewhere(name: str) -> None:
    folder = ROOT if name == "README.md" else DOCS
    for link in re.findall(r"\]\((?!http|#)([^)#]+)\)", TEXTS[name]):
        assert (folder / link).exists(), link
    for path in re.findall(r"`(treering/research/results/[^`*]+)`", TEXTS[name]):
        assert (ROOT / path).exists(), path


def examples() -> list[str]:
    """Every command line in the pages that is meant to be typed."""
    blocks = [block for text in TEXTS.values() for block in re.findall(r"```sh\n(.*?)```", text, re.S)]
    inline = [line for text in TEXTS.values() for line in re.findall(r"`(treering [^`\n]+)`", text)]
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()] + inline
    return sorted({part.strip() for line in lines for part in line.split("&&") if part.strip().startswith("treering ")})


@pytest.mark.parametrize("line", examples())
def test_command_lines_name_commands_and_options_that_exist(line: str) -> None:
    words = shlex.split(line.split("#")[0])[1:]
    command: click.Command = main
    while words and isinstance(command, click.Group) and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, line
        command, words = found, words[1:]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h"}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known


def test_the_settings_example_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = re.search(r"```toml\n(.*?)```", TEXTS["guide.md"], re.S)
    assert text
    (tmp_path / "treering.toml").write_text(text[1])
    monkeypatch.chdir(tmp_path)
    for name in ("TREERING_KEYRING", "TREERING_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    assert set(configuration.load().settings) >= {"keyring", "model", "fpr", "device", "effort"}


def test_python_examples_are_python() -> None:
    for text in TEXTS.values():
        for block in re.findall(r"```python\n(.*?)```", text, re.S):
            compile(block, "example", "exec")


def test_the_reference_is_a_script() -> None:
    assert callable(runpy.run_path(str(DOCS / "reference.py"))["page"])
