"""Make the sample pictures again: ``python samples/make.py`` (public keyring, fixed seeds)."""

from __future__ import annotations

import csv
from pathlib import Path

from PIL import Image

import treering
from treering.models import demo

HERE = Path(__file__).parent
KEYS = (0, 1, 2, None)
EACH = 5
JPEG = {3: 90, 4: 60}  # the fourth and fifth picture of each class
SEED = 20_260


def main() -> None:
    """Write the keyring, the pictures and their manifest."""
    keyring = demo.keyring()
    keyring.save(HERE / "keyring.json", overwrite=True)
    (HERE / "keyring.json").chmod(0o644)
    model = treering.load_model(demo.NAME)
    rows = []
    for number in range(EACH * len(KEYS)):
        key, turn, seed = KEYS[number % len(KEYS)], number // len(KEYS), SEED + number
        prompt = demo.random_caption(seed)
        picture = Image.fromarray(treering.embed(model, keyring, key, [prompt], seed)[0])
        name = f"landscape-{number + 1:02d}." + ("jpg" if turn in JPEG else "png")
        picture.save(HERE / name, **({"quality": JPEG[turn]} if turn in JPEG else {"optimize": True}))
        rows.append((name, "none" if key is None else key))
    with (HERE / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([("file", "key"), *rows])


if __name__ == "__main__":
    main()
