"""Which keyrings and models a reading searches: one of each, or several as hypotheses of one search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treering.errors import InputError, ModelError
from treering.models import DEFAULT
from treering.types import Answer, Key

from .options import ModelChoice, ModelChoices, keyring_path

if TYPE_CHECKING:
    from treering.batch import Summary
    from treering.marks.keyring import Keyring
    from treering.marks.names import Names
    from treering.models import Model
    from treering.reading import Detectors
    from treering.settings import Reading
    from treering.types import Class


@dataclass(frozen=True)
class Searched:
    """``paths``: the keyrings' files; ``keyrings``: what is in them; ``models``: those that were named."""

    paths: tuple[Path, ...]
    keyrings: tuple[Keyring, ...]
    models: ModelChoices

    @classmethod
    def load(cls, paths: Sequence[Path], models: ModelChoices, reading: Reading) -> Searched:
        """Read the files, the user's own keyring if none is named; no model is loaded yet."""
        from treering.marks.keyring import Keyring

        named = tuple(paths) or (keyring_path(None),)
        rings = tuple(Keyring.load(path) for path in named)
        for ring in rings:
            ring.check_classes(reading.keys)
        _check_twice(named, rings)
        if len(set(models.names)) < len(models.names):
            twice = next(name for name in models.names if models.names.count(name) > 1)
            raise InputError(f"The model {twice} is named twice; name it once.")
        return cls(named, rings, models)

    @property
    def several(self) -> bool:
        """Whether there is more than one keyring, or more than one model."""
        return max(len(self.keyrings), len(self.models.names)) > 1

    @property
    def keyring(self) -> Keyring:
        """The only one."""
        return self.keyrings[0]

    @property
    def model(self) -> ModelChoice:
        """The only one."""
        return self.models.one()

    @property
    def sizes(self) -> Any:
        """What pictures are brought to: a size, one of several, or None: as they are, as the keyrings' sizes differ."""
        each = {ring.sizes for ring in self.keyrings}
        one = each.pop() if len(each) == 1 else None
        return one[0] if one and len(one) == 1 else one

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of the pictures to bring; None: as they are, as the keyrings have different sizes."""
        sizes = {ring.image_size for ring in self.keyrings}
        return sizes.pop() if len(sizes) == 1 else None

    @property
    def names(self) -> tuple[str, ...]:
        """What people call the keyrings."""
        return names_of(self.paths)

    @cached_property
    def class_names(self) -> dict[str, Names]:
        """What classes are called, by the keyrings' names; raises ``InputError`` for a broken file."""
        from treering.marks import names

        rings = zip(self.names, self.paths, self.keyrings, strict=True)
        return {name: names.load(path, ring) for name, path, ring in rings}

    def called(self, summary: Summary) -> dict[str, str]:
        """Names of the classes that were found or are labels, by the words of reports for them."""
        from treering import report

        found = {*summary.found, *(summary.confusion.labels if summary.confusion else ())}
        named = {report.name(one): self._called(one) for one in found if not isinstance(one, Answer)}
        return {word: name for word, name in sorted(named.items()) if name}

    def _called(self, found: Class | None) -> str | None:
        if isinstance(found, Key):
            return self.class_names[found.keyring].of(found.key) if found.keyring in self.class_names else None
        return None if self.several else self.class_names[self.names[0]].of(found)

    def detectors(self, reading: Reading) -> Detectors:
        """All of them, with their models loaded; one that is used more than once is loaded once."""
        from treering.reading import Detectors

        loaded: dict[str, Model] = {}
        pairs, names = [], []
        for ring, name in zip(self.keyrings, self.names, strict=True):
            for model in self._fitting(ring, loaded):
                pairs.append((model, ring))
                names.append(name)
        idle = [name for name in self.models.names if not any(loaded.get(name) is model for model, _ in pairs)]
        if idle:
            raise ModelError(f"The model {idle[0]} fits none of the keyrings; leave it out.")
        return Detectors(pairs, reading, names=names)

    def _fitting(self, ring: Keyring, loaded: dict[str, Model]) -> list[Model]:
        """The models that a keyring's marks fit, at least one."""
        wanted = self.models.names or (ring.model or DEFAULT,)
        found, wrong = [], None
        for name in wanted:
            if name not in loaded:
                loaded[name] = self.models.one(name).load()
            try:
                ring.check_fits(loaded[name])
                found.append(loaded[name])
            except ModelError as error:
                wrong = error
        if not found and wrong is not None:
            raise wrong
        return found


def names_of(paths: Sequence[Path]) -> tuple[str, ...]:
    """What people call keyrings: their files' names, as short as they differ."""
    stems = [path.stem for path in paths]
    return tuple(path.stem if stems.count(path.stem) == 1 else str(path) for path in paths)


def _check_twice(paths: Sequence[Path], rings: Sequence[Keyring]) -> None:
    first: dict[str, Path] = {}
    for path, ring in zip(paths, rings, strict=True):
        before = first.setdefault(ring.id, path)
        if before is not path:
            both = f"The keyring {path} is named twice" if before == path else f"{before} and {path} are one keyring"
            raise InputError(f"{both}; name it once.")
