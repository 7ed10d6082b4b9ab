"""The house of the design: rooms on floors, imports that only go down, heavy libraries behind one door."""

from __future__ import annotations

import ast
import configparser
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Lowest first. A room may import the rooms of lower floors, never one beside it or above.
FLOORS = (
    ("errors", "text", "types"),
    ("files", "settings"),
    ("solvers", "marks", "pictures"),
    ("clips",),
    ("models",),
    ("inversion",),
    ("marked", "reading", "writing"),
    ("checking", "editing", "evidence", "filming"),
    ("statistics",),
    ("report",),
    ("batch",),
    ("review",),
    ("serve",),
    ("research",),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# Arrows that point down and are forbidden all the same.
FORBIDDEN: dict[tuple[str, str], str] = {}
# Libraries that one room alone may import.
NETWORKS = ("models", "research")  # research trains the demo model
ONLY_IN = {"diffusers": NETWORKS, "transformers": NETWORKS, "tokenizers": NETWORKS, "click": ("cli",)}
# What of the house may know these rooms, by the start of the module's name.
KNOWN_TO = {
    "treering.research": ("treering.research", "treering_cli.attack", "treering_cli.experiment", "treering_cli.start"),
    "treering.models.demo": ("treering.models.demo", "treering.models.shipped", "treering.research"),
}
# Where these words may stand as a text of their own; elsewhere DEFAULT and KINDS say them (in sentences they may be).
SPELLED_IN = {
    "demo": ("treering.models.demo", "treering.research"),
    **dict.fromkeys(("paper", "mixed"), ("treering.marks.patterns", "treering.research")),
}
HEAVY = ("torch", "diffusers", "transformers")
# treering/__init__.py and treering/__main__.py: they may import every room, no room may import them.
FRONT = ("__init__", "__main__")


@dataclass(frozen=True)
class Source:
    """One Python file of the library or of cli/, by the dotted name it is installed as."""

    path: Path
    module: str

    @property
    def package(self) -> list[str]:
        """The parts of the package that relative imports start from."""
        parts = self.module.split(".")
        return parts if self.path.name == "__init__.py" else parts[:-1]

    @property
    def room(self) -> str:
        """Name of the room, "cli", or the empty string for the front door."""
        top, *rest = self.module.split(".")
        if top == "treering_cli":
            return "cli"
        return rest[0] if rest and rest[0] not in FRONT else ""

    @property
    def tree(self) -> ast.Module:
        """The parsed text."""
        return ast.parse(self.path.read_text(encoding="utf-8"), str(self.path))


def sources(root: Path) -> Iterator[Source]:
    """Every file of root/treering and root/cli."""
    for folder, package in (("treering", "treering"), ("cli", "treering_cli")):
        for path in sorted((root / folder).rglob("*.py")):
            inner = path.relative_to(root / folder).with_suffix("").parts
            parts = inner[:-1] if inner[-1] == "__init__" else inner
            yield Source(path, ".".join((package, *parts)))


def imports(source: Source) -> Iterator[tuple[int, str]]:
    """Line and dotted target of every import, inside functions and under TYPE_CHECKING too."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute(source, node)
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and called(node).split(".")[-1] in ("import_module", "__import__"):
            yield from ((node.lineno, text) for text in literals(node))


def absolute(source: Source, node: ast.ImportFrom) -> str:
    """The dotted module that a `from` import names, with leading dots resolved."""
    base = source.package[: len(source.package) - node.level + 1] if node.level else []
    return ".".join([*base, *([node.module] if node.module else [])])


def called(node: ast.Call) -> str:
    """Dotted name of what a call calls, as far as it is a plain name."""
    return ast.unparse(node.func)


def literals(node: ast.Call) -> Iterator[str]:
    """The text of a call's first argument, where it is written out."""
    first = node.args[0] if node.args else None
    if isinstance(first, ast.Constant) and isinstance(first.value, str):
        yield first.value


def wrong_import(source: Source, target: str) -> str | None:
    """Why this file may not import this target, or None."""
    top, _, rest = target.partition(".")
    if top in ONLY_IN and source.room not in ONLY_IN[top]:
        return f"imports {top}, which only {' and '.join(ONLY_IN[top])} may"
    if top == "cli":
        return "imports cli, which is installed as treering_cli"
    if source.room == "cli":
        return wrong_guest(source, target)
    if top == "treering_cli" and source.path.name != "__main__.py":  # which is a command, not library
        return "imports treering_cli, which is above the library"
    if top != "treering":
        return None
    return wrong_arrow(source.room, rest.partition(".")[0]) or wrong_guest(source, target)


def wrong_guest(source: Source, target: str) -> str | None:
    """Why this file may not know a room that few may know, or None."""
    for room, guests in KNOWN_TO.items():
        if within(target, room) and not within(source.module, *guests):
            return f"imports {room}, which only {' and '.join(guests)} may"
    return None


def within(module: str, *packages: str) -> bool:
    """Whether a module is one of these packages, or lies in one."""
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def wrong_arrow(room: str, other: str) -> str | None:
    """Why a room of the library may not import another, or None; the front door may import all."""
    if room in ("", other) or room not in FLOOR or other == "__version__":
        return None
    if other not in FLOOR:
        return f"imports {other or 'treering'} from the front door instead of from a room"
    if FLOOR[other] >= FLOOR[room]:
        return f"room {room} (floor {FLOOR[room]}) imports {other} (floor {FLOOR[other]}): arrows point down only"
    return FORBIDDEN.get((room, other))


def loud_lines(source: Source) -> Iterator[tuple[int, str]]:
    """Where a library file prints or ends the process."""
    if source.room == "cli" or source.path.name == "__main__.py":
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and called(node) in ("print", "sys.exit", "exit", "quit", "os._exit"):
            yield node.lineno, f"calls {called(node)}: the library prints nothing and exits nowhere"
        elif isinstance(node, ast.Name) and node.id == "SystemExit":
            yield node.lineno, "names SystemExit: the library exits nowhere"


def spelled(source: Source) -> Iterator[tuple[int, str]]:
    """Where a name that one room has is written out in another."""
    for node in ast.walk(source.tree):
        word = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
        if word in SPELLED_IN and not within(source.module, *SPELLED_IN[word]):
            yield node.lineno, f"spells {word!r}, which only {' and '.join(SPELLED_IN[word])} may"


def problems(source: Source) -> Iterator[tuple[int, str]]:
    """Line and sentence of everything that one file does against the design."""
    if source.room not in (*FLOOR, "cli", ""):
        yield 1, f"room {source.room} is on no floor: add it to FLOORS in tests/test_architecture.py"
    for line, target in imports(source):
        if sentence := wrong_import(source, target):
            yield line, sentence
    yield from loud_lines(source)
    yield from spelled(source)


def violations(root: Path) -> list[str]:
    """Everything in a source tree that goes against the design, one sentence each."""
    return [
        f"{source.path.relative_to(root).as_posix()}:{line}: {sentence}"
        for source in sources(root)
        for line, sentence in problems(source)
    ]


def test_the_house_stands() -> None:
    found = violations(ROOT)
    assert not found, "\n".join(found)


def test_the_checker_sees_the_library() -> None:
    rooms = {source.room for source in sources(ROOT)}
    assert {"", "cli", "errors", "models", "types"} <= rooms


def plant(root: Path, path: str, text: str) -> None:
    """Write a clean little house and, in it, one file with the text."""
    files = {"treering/__init__.py": "", "treering/errors.py": "", "cli/__init__.py": "", path: text}
    for name, body in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(body, encoding="utf-8")


GOOD = {
    "down": (
        "treering/reading/plan.py",
        "from ..inversion import invert\nfrom ..marks import keyring\nimport treering.files",
    ),
    "inside one room": ("treering/models/demo/data.py", "from . import scenes\nfrom ..load import open_model"),
    "models may": ("treering/models/load.py", "def f():\n    import diffusers.utils, transformers, tokenizers"),
    "research may train": ("treering/research/demo/training.py", "import diffusers\nfrom ...models import demo"),
    "batch, then report": ("treering/batch/run.py", "from .. import report, statistics"),
    "cli may import all": ("cli/main.py", "import click\nfrom treering import batch, reading\nprint()"),
    "commands of research": (
        "cli/attack.py",
        "from treering import research\nfrom treering.research.attacks import get",
    ),
    "what ships": ("treering/models/shipped.py", "from . import demo"),
    "front door may import all": ("treering/__init__.py", "def __getattr__(n):\n    from . import writing"),
    "prose of the demo": ("cli/edit.py", "HELP = 'Another model than the demo model.'"),
    "version": ("treering/marks/keyring.py", "from .. import __version__"),
    "main may print": ("treering/research/__main__.py", "import sys\nprint()\nsys.exit(0)"),
    "main may be a command": (
        "treering/research/__main__.py",
        "import importlib\nimportlib.import_module('treering_cli.start')",
    ),
    "a name like print": ("treering/files.py", "def f(x):\n    x.print()"),
}

BAD = {
    "up": ("treering/files.py", "import treering.marks", "files (floor 1) imports marks (floor 2)"),
    "up, relative": ("treering/solvers/km.py", "from ..models import Step", "imports models"),
    "up, package": ("treering/solvers/__init__.py", "from .. import models", "imports models"),
    "sideways": ("treering/marks/fourier.py", "from treering import solvers", "imports solvers"),
    "sideways below": ("treering/types.py", "from . import errors", "types (floor 0) imports errors (floor 0)"),
    "in a function": ("treering/marks/keyring.py", "def f():\n    from ..models import load", "imports models"),
    "for types": (
        "treering/marks/keyring.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..pictures import X",
        "keyring.py:3: room marks",
    ),
    "by name": ("treering/files.py", "import importlib\nimportlib.import_module('treering.models')", "imports models"),
    "report up": ("treering/report/page.py", "from .. import batch", "imports batch"),
    "the product knows no research": ("treering/batch/run.py", "from ..research import studies", "imports research"),
    "the name of the demo": ("cli/edit.py", "def f(m):\n    m.load('demo')", "edit.py:2: spells 'demo', which only"),
    "the name of a pattern": ("treering/reading/plan.py", "def f(k):\n    return k == 'paper'", "spells 'paper'"),
    "cli and research": (
        "cli/main.py",
        "def f():\n    from treering.research import door",
        "imports treering.research",
    ),
    "options and research": (
        "cli/options/a.py",
        "from treering import research",
        "imports treering.research, which only",
    ),
    "the demo": ("treering/models/loading.py", "from . import demo", "imports treering.models.demo, which only"),
    "the demo in cli": ("cli/embed.py", "from treering.models.demo import NAME", "imports treering.models.demo, which"),
    "reading and writing": ("treering/reading/detector.py", "from ..writing import embed", "imports writing"),
    "front door": ("treering/files.py", "import treering", "front door"),
    "front door name": ("treering/files.py", "from . import Watermark", "imports Watermark from the front door"),
    "diffusers": ("treering/inversion/sampler.py", "def f():\n    import diffusers.schedulers", "imports diffusers"),
    "transformers": ("treering/writing.py", "from transformers import CLIPTextModel", "imports transformers"),
    "tokenizers in cli": ("cli/main.py", "import tokenizers", "imports tokenizers"),
    "diffusers at the front": ("treering/__init__.py", "import diffusers", "imports diffusers"),
    "click": ("treering/report/page.py", "from click import echo", "imports click"),
    "treering_cli": ("treering/__init__.py", "from treering_cli import main", "above the library"),
    "cli": ("cli/main.py", "import cli.options", "installed as treering_cli"),
    "print": ("treering/files.py", "def f():\n    print(1)", "files.py:2: calls print"),
    "exit": ("treering/files.py", "import sys\nsys.exit(1)", "calls sys.exit"),
    "SystemExit": ("treering/files.py", "raise SystemExit", "names SystemExit"),
    "unknown room": ("treering/attic/box.py", "", "attic is on no floor: add it to FLOORS"),
}


@pytest.mark.parametrize(("path", "text"), GOOD.values(), ids=GOOD)
def test_the_checker_lets_pass(tmp_path: Path, path: str, text: str) -> None:
    plant(tmp_path, path, text)
    assert violations(tmp_path) == []


@pytest.mark.parametrize(("path", "text", "sentence"), BAD.values(), ids=BAD)
def test_the_checker_catches(tmp_path: Path, path: str, text: str, sentence: str) -> None:
    plant(tmp_path, path, text)
    found = violations(tmp_path)
    assert len(found) == 1
    assert path in found[0]
    assert sentence in found[0]


def run_python(code: str, folder: Path) -> str:
    """Standard output of a new interpreter that finds the installed packages, not the ones of the checkout."""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("module", ["treering", "treering_cli.main"])
def test_an_import_is_light(tmp_path: Path, module: str) -> None:
    code = f"import sys, {module}; print(sorted(set({HEAVY}) & set(sys.modules)))"
    assert run_python(code, tmp_path) == "[]\n"


HELP = f"""
import sys
from treering_cli.main import main
sys.argv = ["treering", "--help"]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(sorted(set({HEAVY}) & set(sys.modules)))
"""


def test_help_is_light(tmp_path: Path) -> None:
    assert run_python(HELP, tmp_path).endswith("\n[]\n")


def test_cli_is_not_installed_under_its_folder_name(tmp_path: Path) -> None:
    assert run_python("import importlib.util as u; print(u.find_spec('cli'))", tmp_path) == "None\n"


def test_setup_lists_every_package() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    listed = setup["options"]["packages"].split()
    folders = {
        source.module if source.path.name == "__init__.py" else source.module.rpartition(".")[0]
        for source in sources(ROOT)
    }
    assert sorted(listed) == sorted(folders), "list the packages of treering/ and cli/ in setup.cfg"
