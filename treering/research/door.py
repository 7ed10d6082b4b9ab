"""The front door of research: every experiment of the paper, every study and the demo's training, by one name.

``treering experiment NAME`` and ``python -m treering.research NAME`` are the same command; both end here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..settings import Networks
from .demo.steps import STEPS
from .demo_flow.steps import STEPS as FLOW_STEPS
from .experiments import CHOOSING, SUMMARIES
from .studies import STUDIES

DEMO = "demo"
"""The model that is made from nothing."""

MAKERS: dict[str, tuple[str, ...]] = {DEMO: STEPS, "demo-flow": FLOW_STEPS}
"""Names under which the models that ship with the package are made, and their steps."""

NAMES = {
    **SUMMARIES,
    **{name: text for name, (_, text) in STUDIES.items()},
    **{name: f"make that model, a step at a time: {', '.join(steps)}, or all" for name, steps in MAKERS.items()},
}
"""Everything that can be asked for, and the line that tells what it is."""

RESULTS, WORK = Path("treering-results"), Path("work")
"""Where results go, and, in a folder of the model's name, what a model is made from, unless another folder is named."""

SCENES = 6000
"""Training pictures of the demo."""

_MODEL = {"model", "device", "dtype", "tf32", "download"}
_WITHOUT_MODEL = {
    "speed": set[str](),
    "pictures": set[str](),
    "kills": set[str](),
    "scale": set[str](),
    "load": set[str](),
    "families": set[str](),
    "chunks": set[str](),
    "sizes": {"device"},
    "pipelines": {"device"},
}
"""Studies that bring what they measure along, and what they let choose."""


@dataclass(frozen=True)
class Request:
    """What is asked for: a name of :data:`NAMES`, and what is not left to it (None).

    ``count``: pictures, or scenes of the demo.  ``iterations`` and ``seed``: of an experiment.  ``step`` and ``work``:
    of a model that is made.  ``attacks`` and ``methods``: of the experiment that lets them be chosen.  ``output``:
    folder of the results, or of the model's pipeline.
    """

    name: str
    step: str | None = None
    count: int | None = None
    iterations: tuple[int, ...] | None = None
    seed: int = 0
    networks: Networks = field(default_factory=Networks)
    output: Path | None = None
    work: Path | None = None
    attacks: str | None = None
    methods: str | None = None

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise InputError(f"There is no experiment {self.name!r}: use one of {', '.join(NAMES)}.")
        steps = MAKERS.get(self.name)
        if steps is None and self.step is not None:
            raise InputError(f"{self.name} has no steps.")
        if steps is not None and self.step not in (*steps, "all"):
            raise InputError(f"{self.name} needs a step ({', '.join((*steps, 'all'))}).")


@dataclass(frozen=True)
class Result:
    """The table as Markdown, the files written, and what else to know."""

    table: str = ""
    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listener:
    """Who hears how far it is: units done of all, and lines of text."""

    progress: Callable[[int, int], None] | None = None
    note: Callable[[str], None] = field(default=lambda text: None)


def takes(name: str) -> set[str]:
    """Which settings a name has: fields of :class:`Request`, and those of :class:`~treering.settings.Networks`."""
    if name in MAKERS:
        return {"step", "output", "work"} | ({"count"} if name == DEMO else set[str]())
    if name in SUMMARIES:
        chosen = {"attacks", "methods"} if name == CHOOSING else set[str]()
        return {"count", "iterations", "seed", "output", *chosen, *_MODEL}
    return {"count", "output", *_WITHOUT_MODEL.get(name, _MODEL)}


def run(request: Request, listener: Listener | None = None) -> Result:
    """Do what is asked for; raises the errors of the library."""
    listener = listener or Listener()
    if request.name in MAKERS:
        return _make(request)
    return (_experiment if request.name in SUMMARIES else _study)(request, listener)


def _make(request: Request) -> Result:
    step, work = request.step or "all", request.work or WORK / request.name
    if request.name == DEMO:
        from .demo.steps import make

        make(step, work, request.output, request.count or SCENES)
    else:
        from .demo_flow.steps import make as make_flow

        make_flow(step, work, request.output)
    return Result()


def _experiment(request: Request, listener: Listener) -> Result:
    from ..models.demo import NAME
    from .experiments import bench, get

    experiment, networks = get(request.name), request.networks
    if request.name == CHOOSING:
        from .experiments.robustness import chosen

        experiment = chosen(request.attacks, request.methods)
    settings = bench.Settings(
        request.count or experiment.images,
        request.iterations or experiment.iterations,
        networks.name or NAME,
        networks.device,
        networks.dtype,
        request.seed,
        networks.download,
    )
    outcome = bench.run(
        experiment, settings, request.output or RESULTS / "experiments" / request.name, listener.progress
    )
    return Result(outcome.table, outcome.files, outcome.notes)


def _study(request: Request, listener: Listener) -> Result:
    from .. import files

    folder, count = request.output or RESULTS / "studies", request.count or STUDIES[request.name][0]
    files.make_folder(folder)
    study: Callable[..., Any] = getattr(import_module(f"{__package__}.studies.{request.name}"), request.name)
    if request.name not in _WITHOUT_MODEL:
        table = study(*_marked(request.networks), folder, count, listener.note)
    elif request.name in ("families", "chunks"):
        table = study(folder, count, listener.note)
    elif request.name in ("sizes", "pipelines"):
        table = study(folder, request.networks.device, count, listener.note)
    else:
        table = study(folder, count)
    return Result(str(table).rstrip() + "\n", (folder / f"{request.name}.md",))


def _marked(networks: Networks) -> tuple[Any, Any]:
    """The model, and a keyring of public secret for it."""
    from ..marks.keyring import Keyring
    from ..models import load_latent_model
    from ..models.demo import NAME
    from .common import SECRET

    model = load_latent_model(networks.name or NAME, networks.device, networks.dtype, networks.download)
    # Values as in version 1, so that tables measured before there was a second one can be made again.
    return model, Keyring(SECRET, shape=model.shape, image_size=model.image_size, public=True, derivation=1)
