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
    "remedies": (40, "marked pictures that hold little evidence, and what helps them"),
    "pages": (2, "marks on pages, collages and grids: how many are found, false ones, seconds"),
    "table": (6, "tables of up to a million marks: seconds, memory, and where the screen has the right one"),
    "null": (20, "whether scores are standard normal where there is no mark, in the tail: 10^7 a secret and picture"),
    "averaging": (20, "many pictures of one key averaged: removed and forged, with nonces and without"),
    "nonces": (3, "what nonces cost: decades of p, and seconds of a search, by the number of classes"),
    "route": (
        10,
        "corrected p-values of the whole plan under wrong secrets: a picture's noise read once, 10 secrets each",
    ),
    "imprinting": (4, "one marked picture and the model: its mark put on another picture, or taken off"),
    "spotting": (400, "whether a small network can tell marked pictures from unmarked ones"),
    "flocks": (6, "flocks of pages that one secret names together, and what choosing the secret does about it"),
    "speed": (1000, "seconds and memory of whole processes"),
    "stages": (8, "what a picture costs in each stage of a reading, and pictures a second, beside what it was"),
    "verifying": (10, "verify itself by effort, and as it was: CPU seconds a picture, marked and unmarked"),
    "pictures": (200, "reading of pictures: the dearest files, damage that goes unnoticed, threads"),
    "batching": (3, "pictures that go through a network together: seconds, and whether any bit changes"),
    "power": (1, "what a reading finds after which damage, counted from the robustness experiments for reports"),
    "kills": (100, "what kill -9 of embed and verify leaves behind: pictures, rows, results"),
    "scale": (1_000_000, "runs over many pictures: overhead, memory, resuming, workers, and where more stop to help"),
    "load": (2000, "the server under load: 64 clients, slow ones, malformed requests; memory"),
    "sizes": (1, "decoder inversion at the sizes of published models, with random weights"),
    "families": (1, "the pipeline adapter on every family at hand: errors, evidence, seconds"),
    "anysize": (6, "one key in pictures of several sizes, read as made and resized; rings that a size bears"),
    "paths": (9, "Stable Diffusion's own way against the pipeline called by itself: seconds, in pairs"),
    "pipelines": (1, "seconds and memory at the shapes of SD 1.5 to FLUX.1, with random weights, on a GPU"),
    "onestep": (12, "a model of one step: what decides its reading, latent, prompt or how far the step is solved"),
    "samplers": (6, "which samplers keep a mark, and which a watermarked pipeline refuses"),
    "clips": (4, "clips: how a mark is written over frames, and what codecs, lost frames and cuts leave of it"),
    "chunks": (4, "decoder inversion of a clip in chunks: memory by the number of frames, beside gradients"),
}
"""Every study, how many pictures (or calls) it takes unless told otherwise, and what it measures."""
