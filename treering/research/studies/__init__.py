"""The measurements behind treering's defaults and claims, on a model that really runs.

``python -m treering.research NAME --output DIR`` writes a Markdown table (and the raw rows) and prints the table.
All of them are deterministic but for the seconds.  A study is one file and one line of :data:`STUDIES`.
"""

from __future__ import annotations

STUDIES = {
    "methods": (12, "methods of decoder inversion: error and evidence, PNG and JPEG 75"),
    "autoencoder": (24, "decoder inversion that can only help: the demo, and a trained autoencoder on photographs"),
    "patterns": (16, "patterns: evidence, diversity, what can be seen"),
    "accuracy": (500, "right class and false positives on fresh pictures"),
    "poses": (24, "which poses are found blind, and what that costs"),
    "table": (6, "tables of up to a million marks: seconds, memory, and where the screen has the right one"),
    "null": (4, "whether p-values are uniform where there is no mark"),
    "speed": (1000, "seconds and memory of whole processes"),
    "pictures": (200, "reading of pictures: the dearest files, damage that goes unnoticed, threads"),
    "batching": (3, "pictures that go through a network together: seconds, and whether any bit changes"),
    "kills": (100, "what kill -9 of embed and verify leaves behind: pictures, rows, results"),
    "sizes": (1, "decoder inversion at the sizes of published models, with random weights"),
    "families": (1, "the pipeline adapter on every family at hand: errors, evidence, seconds"),
    "onestep": (12, "a model of one step: what decides its reading, latent, prompt or how far the step is solved"),
    "samplers": (6, "which samplers keep a mark, and which a watermarked pipeline refuses"),
}
"""Every study, how many pictures (or calls) it takes unless told otherwise, and what it measures."""
