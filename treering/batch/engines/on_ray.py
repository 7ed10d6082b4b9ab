"""Workers that are actors of a Ray cluster: the one that the environment names, or one that is begun on this machine.

Ray schedules and nothing more.  What goes through its object store are the paths of pictures and the names of shards;
a worker reads the keyring from its file.  The folder of results must be one that all machines share.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from typing import Any

from ...errors import InputError, TreeringError
from .common import Engine, Event, Plain, Recipe
from .worker import Worker

LOGICAL = 6
"""Cores that a cluster on this machine is said to have at least: with two, Ray has waited for its own helpers."""


class OnRay(Engine):
    """An actor a worker, with a GPU for each if the cluster has as many, else a core."""

    def __init__(self, recipe: Recipe, workers: int) -> None:
        super().__init__(recipe, workers)
        self._ray = _ray()
        self._actors: dict[int, Any] = {}
        self._waiting: dict[Any, int] = {}  # what is asked of which worker
        self._ours = False
        self._actor: Any = None

    def begin(self) -> None:
        """Connect to the cluster, or begin one, and start the first worker."""
        if not self._ray.is_initialized():
            self._connect()
            self._ours = True
        gpus = 1 if self._ray.cluster_resources().get("GPU", 0) >= self.workers else 0
        # A worker that dies is replaced by us, with its task, so that Ray must not try again by itself.
        self._actor = self._ray.remote(num_cpus=0 if gpus else 1, num_gpus=gpus, max_restarts=0)(_Actor)
        super().begin()

    def _connect(self) -> None:
        given = {"include_dashboard": False, "configure_logging": False, "log_to_driver": False}
        try:
            if os.environ.get("RAY_ADDRESS"):
                self._ray.init(logging_level=logging.ERROR, log_to_driver=False)
            else:
                cores = max(LOGICAL, self.workers + 1)
                self._ray.init(address="local", num_cpus=cores, logging_level=logging.ERROR, **given)
        except Exception as error:
            raise InputError(f"No Ray cluster could be reached or begun: {error}") from error

    def start(self, worker: int) -> None:
        """Start an actor, in the place of one that is gone."""
        self._actors[worker] = actor = self._actor.remote(self.recipe.as_dict())
        self._waiting[actor.about.remote()] = worker

    def submit(self, worker: int, task: Plain) -> None:
        """A call of the actor."""
        self._waiting[self._actors[worker].run.remote(task)] = worker

    def wait(self) -> Event:
        """The next call that returned, or failed."""
        done, _ = self._ray.wait(list(self._waiting), num_returns=1)
        worker = self._waiting.pop(done[0])
        try:
            return Event(worker, **self._ray.get(done[0]))
        except self._ray.exceptions.RayActorError as error:
            return Event(worker, reason=str(error).strip().splitlines()[0])
        except self._ray.exceptions.RayError as error:
            return Event(worker, error=f"A worker failed: {str(error).strip().splitlines()[-1]}")

    def close(self) -> None:
        """End all actors, and the cluster if it was begun here."""
        for actor in self._actors.values():
            with suppress(Exception):
                self._ray.kill(actor)
        if self._ours:
            self._ray.shutdown()


class _Actor:
    """A worker; what goes wrong is an answer too, so that it is told in one sentence."""

    def __init__(self, recipe: Plain) -> None:
        self._recipe = Recipe(**recipe)
        self._worker: Worker | None = None

    def about(self) -> Plain:
        """Make the detector and say what it is."""
        try:
            self._worker = Worker(self._recipe)
            return {"about": self._worker.work.about()}
        except TreeringError as error:
            return {"error": str(error)}

    def run(self, task: Plain) -> Plain:
        """Do a task."""
        assert self._worker is not None
        try:
            return self._worker.run(task)
        except TreeringError as error:
            return {"error": str(error)}

    def process(self) -> int:
        """Its number in the system."""
        return os.getpid()


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise InputError("The engine ray needs more: pip install 'treering[ray]'") from None
    return ray
