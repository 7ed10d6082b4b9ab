"""Where a clip goes that is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .. import clips, files
from .notes import Pixels

NAME = "clip.mp4"
"""Name of a clip for which only a folder was named that is the current one."""


@dataclass(frozen=True)
class Film:
    """The file of a clip to come, or the folder of its frames; as :class:`treering.batch.Gallery` for one clip."""

    files: tuple[Path]
    force: bool
    manifest: None = None

    @classmethod
    def plan(cls, output: Path, force: bool = False) -> Film:
        """All that can be refused is refused here, before work is done: raises ``InputError``."""
        path = output / NAME if output == Path() else output
        clips.check_target(path, force)
        files.clean(path.parent)
        return cls((path,), force)

    def add(self, frames: Pixels, file: Path, key: int | None, *more: object) -> Path:
        """Write frames uint8 ``[F, H, W, 3]``, and tell where; raises ``ImageError`` or ``InputError``."""
        if file.suffix:
            files.make_folder(file.parent)
        clips.write(frames, file, overwrite=self.force)
        return file
