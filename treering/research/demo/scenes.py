"""The demo model's world: procedurally drawn landscapes and their captions.

A scene is first *described* (a few words chosen at random), then *drawn* (numpy only, about 20 ms
for 256 x 256) and *captioned*.  Scene number ``i`` of seed ``s`` is the same on every machine.

>>> picture, text = scene(seed=1, index=0)
>>> picture.shape
(256, 256, 3)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...models.demo.captions import Scene, caption, generator, random_scene

Array = NDArray[Any]

SIZE = 256


@dataclass(frozen=True)
class Light:
    """Colours of one time of day, RGB in [0, 1]."""

    zenith: tuple[float, float, float]
    horizon: tuple[float, float, float]
    glow: tuple[float, float, float]
    ambient: tuple[float, float, float]
    cloud: tuple[float, float, float]


LIGHTS = {
    "day": Light((0.20, 0.45, 0.82), (0.72, 0.86, 0.96), (1.0, 0.97, 0.84), (1.0, 1.0, 0.97), (0.98, 0.98, 1.0)),
    "dawn": Light((0.42, 0.47, 0.70), (0.99, 0.80, 0.74), (1.0, 0.92, 0.80), (0.84, 0.72, 0.76), (0.98, 0.82, 0.82)),
    "sunset": Light((0.26, 0.20, 0.42), (0.98, 0.53, 0.22), (1.0, 0.78, 0.38), (0.78, 0.48, 0.34), (0.86, 0.44, 0.36)),
    "night": Light((0.02, 0.04, 0.12), (0.11, 0.15, 0.30), (0.80, 0.85, 0.95), (0.22, 0.27, 0.42), (0.16, 0.19, 0.32)),
}

GRASS = (0.40, 0.58, 0.24)
ROCK = (0.50, 0.46, 0.44)
SNOW = (0.96, 0.97, 1.00)
SAND = (0.93, 0.74, 0.46)
PINE = (0.12, 0.28, 0.17)
LEAF = (0.24, 0.42, 0.14)
WATER = (0.10, 0.30, 0.42)


# ------------------------------------------------------------------------------------- noise


@lru_cache(maxsize=64)
def _spline(size: int, knots: int) -> Array:
    """Uniform cubic B-spline weights ``[size, knots + 3]`` on ``knots`` intervals."""
    x = (np.arange(size) + 0.5) * knots / size
    cell = np.minimum(x.astype(int), knots - 1)
    t = x - cell
    weights = np.zeros((size, knots + 3), np.float32)
    rows = np.arange(size)
    weights[rows, cell] = (1 - t) ** 3 / 6
    weights[rows, cell + 1] = (3 * t**3 - 6 * t**2 + 4) / 6
    weights[rows, cell + 2] = (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6
    weights[rows, cell + 3] = t**3 / 6
    return weights / np.sqrt((weights**2).sum(1, keepdims=True))  # unit variance


def _line(rng: np.random.Generator, size: int, knots: int, octaves: int = 1, gain: float = 0.5) -> Array:
    """Smooth noise ``[size]`` of unit variance in its first octave."""
    total = np.zeros(size, np.float32)
    for octave in range(octaves):
        count = knots << octave
        values = rng.standard_normal(count + 3).astype(np.float32)
        total += gain**octave * (_spline(size, count) @ values)
    return total


def _field(rng: np.random.Generator, size: int, knots: tuple[int, int], octaves: int = 1, gain: float = 0.5) -> Array:
    """Smooth noise ``[size, size]``; ``knots`` down and across."""
    total = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        down, across = knots[0] << octave, knots[1] << octave
        values = rng.standard_normal((down + 3, across + 3)).astype(np.float32)
        total += gain**octave * (_spline(size, down) @ values @ _spline(size, across).T)
    return total


# ----------------------------------------------------------------------------------- drawing


def _rgb(colour: ArrayLike) -> Array:
    return np.asarray(colour, np.float32)


def _grid(size: int) -> tuple[Array, Array]:
    """Rows and columns in units of the picture's height: ``[size, 1]`` and ``[1, size]``."""
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size
    return axis[:, None], axis[None, :]


def _step(distance: Array, size: int, softness: float = 1.0) -> Array:
    """0 to 1 over ``softness`` pixels around ``distance = 0`` (anti-aliased edge)."""
    return np.clip(distance * size / softness + 0.5, 0, 1)


def _over(picture: Array, colour: Array, mask: Array) -> None:
    """Paint ``colour`` onto ``picture`` where ``mask`` is 1, in place."""
    picture += mask[..., None] * (colour - picture)


def _sky(scene: Scene, rng: np.random.Generator, size: int, horizon: float) -> tuple[Array, tuple[float, float]]:
    """The sky ``[size, size, 3]`` and where its light comes from (row, column)."""
    light = LIGHTS[scene.time]
    y, x = _grid(size)
    tint = _rgb(rng.normal(0, 0.02, 3))
    fade = np.clip(y / horizon, 0, 1) ** rng.uniform(0.8, 1.5)
    zenith, low = _rgb(light.zenith) + tint, _rgb(light.horizon) + tint
    picture = zenith + fade[..., None] * (low - zenith) + np.zeros((size, size, 3), np.float32)
    height = {"day": (0.15, 0.6), "night": (0.15, 0.6)}.get(scene.time, (0.55, 0.95))
    centre = (float(horizon * rng.uniform(*height)), float(rng.uniform(0.1, 0.9)))
    distance = np.hypot(y - centre[0], x - centre[1])
    strength = 0.5 if scene.body != "none" else 0.25
    if scene.time == "night":
        strength *= 0.3
    _over(
        picture,
        _rgb(light.glow),
        strength * np.exp(-((distance / 0.22) ** 2)) + 0.25 * strength * np.exp(-distance / 0.3),
    )
    if scene.stars:
        _stars(picture, rng, size, horizon)
    if scene.body != "none":
        radius = rng.uniform(0.035, 0.06)
        disc = (1.0, 0.96, 0.80) if scene.body == "sun" else (0.93, 0.94, 0.90)
        if scene.time == "sunset":
            disc = (1.0, 0.85, 0.50)
        _over(picture, _rgb(disc), _step(radius - distance, size, 2.0))
    if scene.clouds:
        _clouds(picture, rng, size, horizon, light)
    return picture, centre


def _stars(picture: Array, rng: np.random.Generator, size: int, horizon: float) -> None:
    """Round dots of about two pixels."""
    for _ in range(int(rng.integers(30, 70))):
        row, column = rng.uniform(0, horizon * size - 3), rng.uniform(2, size - 3)
        top, left = max(int(row) - 2, 0), int(column) - 2
        patch = picture[top : top + 6, left : left + 6]
        rows = np.arange(top, top + patch.shape[0])[:, None] - row
        columns = np.arange(left, left + patch.shape[1])[None, :] - column
        spot = rng.uniform(0.35, 0.95) * np.exp(-(rows**2 + columns**2) / 1.6)
        _over(patch, _rgb((0.95, 0.96, 1.0)), spot.astype(np.float32))


def _clouds(picture: Array, rng: np.random.Generator, size: int, horizon: float, light: Light) -> None:
    """Soft clouds, flatter towards the horizon, darker below."""
    y, _ = _grid(size)
    down = int(rng.integers(5, 9))
    body = _field(rng, size, (down, int(rng.integers(2, 5))), octaves=3, gain=0.45)
    cover = np.clip(0.9 * (body - rng.uniform(0.1, 0.7)), 0, 1) * np.clip((horizon - y) / 0.12, 0, 1)
    shade = np.clip(0.5 + 0.5 * np.roll(body, size // 32, axis=0), 0, 1)[..., None]
    colour = _rgb(light.cloud) * (1.0 - 0.22 * shade)
    _over(picture, colour, 0.9 * cover)


def _lit(colour: Array, light: Light, shade: Array) -> Array:
    """Colour of a surface under this light; ``shade`` is 1 in full light."""
    return colour * _rgb(light.ambient) * shade[..., None]


def _mountains(
    picture: Array, rng: np.random.Generator, scene: Scene, size: int, foot: float, haze: Array, near: float, sun: float
) -> None:
    """One chain of peaks, each with a lit and a shadowed side; ``near`` 0 (lost in haze) to 1."""
    light = LIGHTS[scene.time]
    y, x = _grid(size)
    count = int(rng.integers(3, 7))
    rock = _rgb(ROCK) + _rgb(rng.normal(0, 0.03, 3))
    snow_line = rng.uniform(0.35, 0.6) if scene.terrain == "snowy mountains" else 0.0
    places = (rng.permutation(count) + rng.uniform(0.1, 0.9, count)) / count
    for place in places:
        height, slope = rng.uniform(0.14, 0.34) * (1.1 - 0.3 * near), rng.uniform(0.7, 1.3)
        rough = 0.010 * _line(rng, size, 14, octaves=2)
        edge = foot - height + slope * np.abs(x - place) * (1 - 0.3 * np.abs(x - place)) + rough[None, :]
        depth = y - edge
        folds = _field(rng, size, (10, 10), octaves=2, gain=0.5)
        spine = 0.10 * (y - foot + height) * rng.normal(0, 1.5) + 0.012 * _line(rng, size, 12, octaves=2)[:, None]
        side = np.tanh((x - place - spine) / 0.012) * (1.0 if sun < place else -1.0)
        shade = np.clip(0.80 - 0.22 * side + 0.05 * folds, 0.3, 1.15)
        cover = np.broadcast_to(rock, (size, size, 3)).copy()
        if snow_line:
            below = y - (foot - height) - height * snow_line - 0.022 * folds
            _over(cover, _rgb(SNOW) * 1.08, _step(-below, size, 4.0))
        colour = _lit(cover, light, shade)
        veil = np.clip((1 - near) * 0.6 + 0.25 * np.clip((y - foot + height) / height, 0, 1), 0, 1)
        colour += veil[..., None] * (haze - colour)
        _over(picture, colour, _step(depth, size, 1.5))


def _ground(
    picture: Array,
    rng: np.random.Generator,
    scene: Scene,
    size: int,
    top: float,
    base: ArrayLike,
    haze: Array,
    near: float,
    rise: float,
) -> Array:
    """One hill or dune layer; returns its edge ``[size]`` (in picture heights)."""
    light = LIGHTS[scene.time]
    y, _ = _grid(size)
    edge = top + rise * 0.5 * _line(rng, size, int(rng.integers(2, 4)))
    folds = _field(rng, size, (5, 3), octaves=2, gain=0.4)
    shade = 0.80 + 0.10 * np.clip(folds, -2, 2) - 0.25 * np.clip(y - edge[None, :], 0, 1)
    colour = _lit(_rgb(base) + _rgb(rng.normal(0, 0.02, 3)), light, shade)
    colour += (1 - near) * 0.6 * (haze - colour)
    _over(picture, colour, _step(y - edge[None, :], size, 1.5))
    return edge.astype(np.float32)


def _dunes(
    picture: Array, rng: np.random.Generator, scene: Scene, size: int, top: float, haze: Array, near: float
) -> None:
    """A dune chain: a lit side and a shadowed side under every crest."""
    light = LIGHTS[scene.time]
    y, _ = _grid(size)
    edge = top + 0.05 * _line(rng, size, int(rng.integers(2, 5)))
    crest = np.interp(np.arange(size), np.linspace(0, size, 5), rng.uniform(-0.05, 0.05, 5)).astype(np.float32)
    edge = edge + 0.5 * crest
    bend = np.gradient(edge) * size
    depth = y - edge[None, :]
    lit = 0.5 + 0.5 * np.tanh(3.5 * (bend[None, :] + 1.2 * depth + 0.12 * _field(rng, size, (2, 3))))
    shade = 0.62 + 0.36 * lit - 0.15 * np.clip(depth, 0, 1)
    colour = _lit(_rgb(SAND) + _rgb(rng.normal(0, 0.02, 3)), light, shade)
    colour += (1 - near) * 0.55 * (haze - colour)
    _over(picture, colour, _step(depth, size, 1.5))


def _water(
    picture: Array, rng: np.random.Generator, scene: Scene, size: int, shore: float, sun: tuple[float, float]
) -> None:
    """Everything below ``shore`` becomes water that mirrors what is above."""
    light = LIGHTS[scene.time]
    y, x = _grid(size)
    depth = np.clip(y - shore, 0, 1)
    waves = _field(rng, size, (40, 4)) * (0.2 + depth / 0.3) * 0.012
    source = np.clip((shore - depth + waves) * size - 0.5, 0, shore * size - 1)
    low = source.astype(int)
    part = (source - low)[..., None]
    columns = np.broadcast_to(np.arange(size)[None, :], (size, size))
    mirror = picture[low, columns] * (1 - part) + picture[np.minimum(low + 1, size - 1), columns] * part
    colour = mirror * (0.85 - 0.25 * depth[..., None])
    deep = _rgb(WATER) * _rgb(light.ambient)
    colour = colour + (0.18 + 0.5 * np.clip(depth, 0, 0.6))[..., None] * (deep - colour)
    if scene.body != "none":
        path = np.exp(-(((x - sun[1]) / (0.04 + 0.12 * depth)) ** 2)) * np.clip(0.45 + 16 * waves, 0, 1)
        colour += (0.55 * path)[..., None] * (_rgb(light.glow) - colour)
    _over(picture, colour.astype(np.float32), _step(y - shore, size) * np.ones_like(x))


def _tree(
    picture: Array, rng: np.random.Generator, kind: str, light: Light, foot: float, column: float, height: float
) -> None:
    """One tree, ``height`` pixels tall, standing at ``(foot, column)`` in pixels."""
    size = picture.shape[0]
    top, left = max(int(foot - height) - 2, 0), max(int(column - 0.5 * height) - 2, 0)
    bottom, right = min(int(foot) + 2, size), min(int(column + 0.5 * height) + 3, size)
    if bottom <= top or right <= left:
        return
    y = np.arange(top, bottom, dtype=np.float32)[:, None] + 0.5
    x = np.arange(left, right, dtype=np.float32)[None, :] + 0.5
    t = (y - (foot - height)) / height  # 0 at the tip, 1 at the foot
    away = x - column
    patch = picture[top:bottom, left:right]
    trunk = np.clip(0.03 * height + 0.5 - np.abs(away), 0, 1) * np.clip(foot - y + 0.5, 0, 1) * (t > 0.5)
    _over(patch, _rgb((0.30, 0.21, 0.14)) * _rgb(light.ambient), trunk)
    if kind == "pine trees":
        width = height * (0.05 + 0.20 * np.clip(t, 0, 0.9)) * (0.75 + 0.25 * ((3 * t) % 1.0))
        crown = np.clip(width - np.abs(away) + 0.5, 0, 1) * np.clip((0.9 - t) * height + 0.5, 0, 1) * (t >= 0)
        colour = _rgb(PINE)
    else:
        distance = np.hypot((t - 0.38) / 0.38, away / (0.34 * height))
        crown = np.clip((1 - distance) * 0.34 * height + 0.5, 0, 1)
        colour = _rgb(LEAF)
    shade = np.clip(0.9 - 0.5 * away / (0.4 * height), 0.5, 1.3) * np.ones_like(t)
    _over(patch, _lit(colour, light, shade * rng.uniform(0.85, 1.15)), crown)


def _trees(picture: Array, rng: np.random.Generator, scene: Scene, size: int, edge: Array) -> None:
    """A few trees on the nearest ground, the far ones first."""
    count = int(rng.integers(3, 9))
    centre, spread = rng.uniform(0.1, 0.9), rng.uniform(0.12, 0.4)
    places = np.clip(rng.normal(centre, spread, count), 0.02, 0.98)
    drops = np.sort(rng.uniform(0.005, 0.10, count))
    scale = rng.uniform(0.14, 0.26)
    for place, drop in zip(places, drops, strict=True):
        foot = (edge[int(place * size)] + drop) * size
        height = size * scale * (0.6 + 4 * drop) * rng.uniform(0.8, 1.2)
        _tree(picture, rng, scene.trees, LIGHTS[scene.time], foot, place * size, height)


def draw(scene: Scene, rng: np.random.Generator, size: int = SIZE) -> NDArray[np.uint8]:
    """Draw a scene: uint8 ``[size, size, 3]``."""
    horizon = float(rng.uniform(0.42, 0.62))
    picture, sun = _sky(scene, rng, size, horizon + 0.05)
    light = LIGHTS[scene.time]
    haze = _rgb(light.horizon) * 0.95
    if scene.terrain in ("mountains", "snowy mountains"):
        chains = int(rng.integers(1, 3))
        for i in range(chains):
            _mountains(picture, rng, scene, size, horizon + 0.05, haze, 0.4 + 0.6 * (i + 1) / chains, sun[1])
    if scene.terrain == "hills":
        for i in range(int(rng.integers(1, 4))):
            _ground(picture, rng, scene, size, horizon - 0.06 + 0.045 * i, GRASS, haze, 0.35 + 0.2 * i, 0.08)
    if scene.terrain == "desert":
        for i in range(int(rng.integers(2, 5))):
            _dunes(picture, rng, scene, size, horizon + 0.12 * i, haze, min(0.35 + 0.3 * i, 1.0))
    if scene.terrain == "sea" or scene.lake:
        _water(picture, rng, scene, size, horizon + (0.0 if scene.terrain == "sea" else 0.03), sun)
    if scene.terrain in ("mountains", "snowy mountains", "hills"):
        top = rng.uniform(0.84, 0.92) if scene.lake else horizon + rng.uniform(0.06, 0.2)
        base = _rgb(GRASS)
        edge = _ground(picture, rng, scene, size, float(top), base, haze, 1.0, 0.06)
        if scene.trees != "none":
            _trees(picture, rng, scene, size, edge)
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


def text(seed: int, index: int) -> str:
    """Caption of scene ``index`` of ``seed``, without drawing it."""
    return caption(random_scene(generator(seed, index)), generator(seed, index, 1))


def scene(seed: int, index: int, size: int = SIZE) -> tuple[NDArray[np.uint8], str]:
    """Picture uint8 ``[size, size, 3]`` and caption of scene ``index`` of ``seed``."""
    rng = generator(seed, index)
    picture = draw(random_scene(rng), rng, size)
    return picture, text(seed, index)
