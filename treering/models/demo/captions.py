"""The words of the demo model's world: what may be in a picture, and sentences that say it.

Caption number ``i`` of a seed is the same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

TIMES = ("day", "dawn", "sunset", "night")
TERRAINS = ("mountains", "snowy mountains", "hills", "desert", "sea")
TREES = ("none", "pine trees", "trees")


@dataclass(frozen=True)
class Scene:
    """What is in a picture, in words: everything that its caption may say."""

    time: str
    terrain: str
    lake: bool
    clouds: bool
    body: str  # "sun", "moon" or "none": what shines in the sky
    stars: bool
    trees: str


def generator(*seed: int) -> np.random.Generator:
    """A random generator that is the same everywhere."""
    import numpy as np  # here, as what ships with the package is known to every help text

    return np.random.default_rng(list(seed))


def random_scene(rng: np.random.Generator) -> Scene:
    """Draw the words of a scene."""
    time = str(rng.choice(TIMES, p=(0.34, 0.2, 0.24, 0.22)))
    terrain = str(rng.choice(TERRAINS, p=(0.22, 0.22, 0.22, 0.17, 0.17)))
    body = str(rng.choice(("sun", "none"), p=(0.6, 0.4)))
    if time == "night":
        body = str(rng.choice(("moon", "none"), p=(0.6, 0.4)))
    stars = time == "night" and bool(rng.random() < 0.6)
    lake = terrain in ("mountains", "snowy mountains", "hills") and bool(rng.random() < 0.4)
    clouds = bool(rng.random() < (0.3 if stars else 0.5))
    trees = "none"
    if terrain in ("mountains", "snowy mountains", "hills") and rng.random() < 0.5:
        trees = str(rng.choice(TREES[1:]))
    return Scene(time, terrain, lake, clouds, body, stars, trees)


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """A sentence for a scene; details are left out now and then, as people do."""
    place = {
        "mountains": ("mountains", "rocky mountains"),
        "snowy mountains": ("snowy mountains", "mountains with snow"),
        "hills": ("green hills", "rolling hills"),
        "desert": ("a desert", "sand dunes in a desert"),
        "sea": ("the sea", "the open sea"),
    }[scene.terrain]
    words = str(rng.choice(place))
    if scene.lake:
        words += str(rng.choice((" and a lake with reflections", " reflected in a lake", " by a lake")))
    when = {"day": ("by day", "at day"), "night": ("at night", "by night")}.get(scene.time, (f"at {scene.time}",))
    words += " " + str(rng.choice(when))
    details = [scene.trees] if scene.trees != "none" else []
    if scene.body != "none":
        details.append(f"the {scene.body}")
    if scene.stars:
        details.append("stars")
    details.append("clouds" if scene.clouds else "a clear sky")
    details = [detail for detail in details if rng.random() < 0.85]
    return ", ".join([words, *details])


def random_caption(seed: int) -> str:
    """A caption of this world, for those who give no prompt."""
    rng = generator(0x7265, seed)
    return caption(random_scene(rng), rng)
