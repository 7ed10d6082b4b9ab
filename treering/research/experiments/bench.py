"""How every experiment runs: unit by unit, resumable, with the rows, the table and the figure at its end."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ... import __version__, files, inversion, writing
from ...errors import InputError, TreeringError
from ...marks.keyring import Keyring, plain_noise
from ...models import DEFAULT, LatentModel
from ...models import load_latent_model as load
from ...settings import GUIDANCE, STEPS
from ..common import SECRET, words
from . import figures
from .rows import Row as Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROWS, CSV, TABLE, FIGURE = "rows.jsonl", "rows.csv", "table.md", "figure"
SETTINGS, PICTURES = "settings.json", "pictures"
"""What an experiment's folder holds: the journal, its rows, the table, figure.png and figure.svg; what the rows
depend on; pictures."""


@dataclass(frozen=True)
class Settings:
    """What an experiment's rows depend on.

    ``images``: how many pictures; ``iterations``: budgets of the iterative methods; ``seed``: of the
    first picture and of all else that is drawn; the rest as in :func:`treering.models.load`, and
    ``download`` changes no row.
    """

    images: int
    iterations: tuple[int, ...]
    model: str = DEFAULT
    device: str = "cpu"
    dtype: str = "float32"
    seed: int = 0
    download: bool = False

    def __post_init__(self) -> None:
        if self.images < 1 or not self.iterations or min(self.iterations) < 1:
            raise InputError("An experiment needs at least one picture and one iteration.")
        object.__setattr__(self, "iterations", tuple(sorted(set(self.iterations))))


@dataclass(frozen=True)
class Drawn:
    """A picture and what it was made from: uint8 ``[H, W, 3]``; latent and noise ``[1, C, h, w]``."""

    picture: NDArray[np.uint8]
    latent: Tensor
    noise: Tensor
    prompt: str


class Bench:
    """The model of an experiment, its keyring, pictures made with it, and the rows that are ``known``."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings, self._folder = settings, folder
        self.known: dict[str, list[Row]] = {}  # rows by unit, of this run and of earlier ones
        self.run = ""  # 16 hexadecimal digits of all that the rows depend on
        self._others: dict[str, LatentModel] = {}
        self._drawn: tuple[Any, Drawn] | None = None  # the last picture, as units often share one

    def _load(self, dtype: str) -> LatentModel:
        return load(self.settings.model, self.settings.device, dtype, self.settings.download)

    @cached_property
    def model(self) -> LatentModel:
        """The model, on the device and in the number type that was asked for."""
        return self._load(self.settings.dtype)

    def model_as(self, dtype: str) -> LatentModel:
        """The same model with networks of another number type."""
        if dtype == self.settings.dtype:
            return self.model
        if dtype not in self._others:
            self._others[dtype] = self._load(dtype)
        return self._others[dtype]

    @property
    def half(self) -> str:
        """The 16-bit type of the device: bfloat16 on a CPU, float16 on a GPU."""
        return "bfloat16" if self.model.device.type == "cpu" else "float16"

    @cached_property
    def keyring(self) -> Keyring:
        """A keyring of public secret for this model, with treering's default pattern.

        Its values are derived as in version 1, so that rows measured before there was a second one go on.
        """
        size = self.model.image_size
        return Keyring(secret=SECRET, shape=self.model.shape, image_size=size, public=True, derivation=1)

    @cached_property
    def pictures(self) -> Path:
        """Folder for what an experiment draws beside its rows."""
        path = self._folder / PICTURES
        files.make_folder(path)
        return path

    def seed(self, i: int) -> int:
        """Seed of picture i."""
        return 1_000_000 * (8 + self.settings.seed) + i

    def prompt(self, i: int) -> str:
        """Prompt of picture i."""
        return words(self.model, self.seed(i))

    def draw(self, i: int, key: int | None = None, keyring: Keyring | None = None, prompt: str | None = None) -> Drawn:
        """Picture i, marked with ``key`` (None: unmarked) of ``keyring`` (None: the bench's own)."""
        keyring, prompt = keyring or self.keyring, self.prompt(i) if prompt is None else prompt
        what = (i, key, keyring.id, prompt)
        if self._drawn is None or self._drawn[0] != what:
            model = self.model_as("float32")  # the same pictures, whatever number type is tried on them
            noise = plain_noise(keyring.shape, self.seed(i)) if key is None else keyring.noise(key, self.seed(i))
            latent = writing.latents(model, noise, [prompt])
            self._drawn = what, Drawn(writing.pictures(model, latent)[0], latent, noise, prompt)
        return self._drawn[1]


class Experiment(Protocol):
    """What an experiment tells the bench.

    ``images`` and ``iterations``: defaults of :class:`Settings`.  ``largest``: only the largest budget counts.
    ``constants``: all that is fixed in the code and decides the rows.
    """

    images: int
    iterations: tuple[int, ...]
    largest: bool
    constants: object

    def units(self, settings: Settings) -> Sequence[str]:
        """Names of the pieces of work, in order; one that is done is not done again."""
        ...

    def measure(self, bench: Bench, unit: str) -> list[Row]:
        """Do one piece; its rows depend on the settings (but for ``images``) and on the name alone."""
        ...

    def table(self, rows: Sequence[Row]) -> str:
        """Markdown."""
        ...

    def figure(self, rows: Sequence[Row], folder: Path) -> Figure:
        """Drawn from the rows and from what ``measure`` left in ``folder / PICTURES``."""
        ...


@dataclass(frozen=True)
class Outcome:
    """The table as Markdown, the files written, and what else to know."""

    table: str
    files: tuple[Path, ...]
    notes: tuple[str, ...]


def run(
    experiment: Experiment, settings: Settings, output: Path, progress: Callable[[int, int], None] | None = None
) -> Outcome:
    """Measure what is missing, then write rows.csv, table.md, figure.png and figure.svg into ``output``.

    ``progress(done, total)`` counts units.  A run that was killed goes on with the unit that it was at;
    one with more pictures measures only the new ones.  Raises ``InputError`` if ``output`` cannot be used, or holds
    files of these names that are not an experiment's.
    """
    if experiment.largest:
        settings = replace(settings, iterations=settings.iterations[-1:])
    bench, units = Bench(settings, output), experiment.units(settings)
    _check_folder(output)
    what = identity(experiment, bench)  # loads the model: where that fails, no folder is made
    busy = f"Another experiment is writing to {output}; wait for its end or choose another folder."
    with files.locked(output, busy), files.Journal(output / ROWS) as journal:
        bench.run = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]
        known = bench.known = _known(journal, bench.run)
        for done, unit in enumerate(units):
            if progress:
                progress(done, len(units))
            if unit not in known:
                known[unit] = experiment.measure(bench, unit)
                line = json.dumps({"run": bench.run, "unit": unit, "rows": known[unit]})
                journal.append([line.encode() + b"\n"])
        if progress:
            progress(len(units), len(units))
        files.replace(output / SETTINGS, (json.dumps({**what, "images": settings.images}, indent=2) + "\n").encode())
        return _publish(experiment, [row for unit in units for row in known[unit]], output)


_OURS = b'{"run": '


def _check_folder(output: Path) -> None:
    """Refuse to write over what somebody else left under the names of our files."""
    if output.exists() and not output.is_dir():
        raise InputError(f"{output} is not a folder, so results cannot be written there.")
    journal = output / ROWS
    others = (CSV, TABLE, SETTINGS, f"{FIGURE}.png", f"{FIGURE}.svg")
    theirs = journal if journal.exists() else next((output / n for n in others if os.path.lexists(output / n)), None)
    if theirs and not (theirs == journal and _is_ours(journal)):
        raise InputError(f"{theirs} is not an experiment's, so it is left alone; choose another folder.")


def _is_ours(journal: Path) -> bool:
    """Whether any line begins as ours do, or nothing has been written yet but the beginning of one."""
    try:
        with journal.open("rb") as file:
            beginnings = [line[: len(_OURS)] for line in file]
    except OSError as error:
        raise InputError(files.problem(journal, error)) from error
    return not beginnings or _OURS in beginnings or _OURS.startswith(beginnings[0])


def identity(experiment: Experiment, bench: Bench) -> dict[str, Any]:
    """All that a unit's rows depend on besides its name; with the machine, as times of two do not compare."""
    settings = json.loads(json.dumps(asdict(bench.settings)))
    del settings["images"], settings["download"]
    constants = repr((inversion.METHODS, STEPS, GUIDANCE, experiment.constants))
    return {
        "experiment": type(experiment).__name__,
        "treering": __version__,
        "fingerprint": bench.model.fingerprint,
        "constants": hashlib.sha256(constants.encode()).hexdigest()[:16],
        "machine": _machine(bench.model.device),
        **settings,
    }


def _machine(device: torch.device) -> str:
    place = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return f"torch {torch.__version__}, {place}, {torch.get_num_threads()} threads"


def _known(journal: files.Journal, name: str) -> dict[str, list[Row]]:
    known: dict[str, list[Row]] = {}
    for _, data in journal.lines():
        with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):  # damaged: measured again
            line = json.loads(data)
            if line["run"] == name and all(isinstance(row, dict) for row in line["rows"]):
                known[line["unit"]] = list(line["rows"])
    return known


def _publish(experiment: Experiment, rows: list[Row], output: Path) -> Outcome:
    table, notes = experiment.table(rows).rstrip() + "\n", list[str]()
    files.replace(output / CSV, _csv(rows).encode())
    files.replace(output / TABLE, table.encode())
    written = [output / CSV, output / TABLE]
    try:
        page = experiment.figure(rows, output)
    except TreeringError as error:
        notes.append(f"The figure was not drawn. {error}")
        for kind in figures.KINDS:  # an older one would not fit the table
            (output / FIGURE).with_suffix(f".{kind}").unlink(missing_ok=True)
    else:
        written += figures.save(page, output / FIGURE)
    return Outcome(table, tuple(written), tuple(notes))


def _csv(rows: Sequence[Row]) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
