"""The demo model, loaded once, and a few pictures that are made once."""

from __future__ import annotations

import os

import pytest

os.environ["TREERING_CACHE"] = "off"  # tests leave nothing in the user's cache
os.environ["TREERING_CONFIG"] = "off"  # and take nothing from the user's settings
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"  # a core for each of several that run side by side

SECRET = bytes(range(32))
KEYS = (0, 1, 2, None)
SEED = 100


WHOLE = {}
"""The model of all tests, and the text encoder that a test may have let go of, as `detect` does."""


@pytest.fixture(scope="session")
def model():
    import treering

    loaded = treering.load_model("demo")
    WHOLE.update(model=loaded, text_encoder=loaded.text_encoder)
    return loaded


@pytest.fixture(autouse=True)
def _whole():
    yield
    if WHOLE:
        WHOLE["model"].text_encoder = WHOLE["text_encoder"]


@pytest.fixture(scope="session")
def keyring():
    import treering

    return treering.Keyring(SECRET, derivation=1)  # marks of version 1; tests of plans and keyrings have version 2


@pytest.fixture(scope="session")
def pictures(model, keyring):
    """One picture of each of ``KEYS``, as a dictionary of uint8 ``[H, W, 3]``."""
    import treering

    prompts = ["snowy mountains by day, clouds", "green hills at dawn, trees", "the sea at sunset, the sun", "a desert"]
    drawn = {}
    for i, (key, prompt) in enumerate(zip(KEYS, prompts, strict=True)):
        drawn[key] = treering.embed(model, keyring, key, [prompt], SEED + i, steps=20)[0]
    return drawn


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that must end before they load a model."""
    from treering import models

    def load(*_: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(models, "load", load)


@pytest.fixture(scope="session")
def browser():
    """A real browser, one for all tests; see ``tests/browser.py``."""
    from browser import chromium

    with chromium() as one:
        yield one
