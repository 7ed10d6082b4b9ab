"""Editing: the rest of the latent is kept to the last bit, the rest of the picture as well as its latent was found."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image
from schemas import check
from torch import Tensor

from treering import editing, inversion, models
from treering.errors import InputError
from treering.marks.keyring import plain_noise
from treering.models import LatentModel, walk
from treering.models.schedule import Schedule
from treering.research.experiments import bench, figures
from treering.research.experiments import editing as experiment
from treering.research.experiments.rows import Row, number
from treering.types import Step
from treering_cli.main import main

STEPS = (Step(900.0, 1.3, -0.4, 0.5), Step(600.0, 1.2, -0.3, 0.7), Step(200.0, 1.1, -0.2, 0.9))
SCHEDULE = Schedule(STEPS, 1.7)  # of unequal scales and an initial factor, as Euler has them
PROMPT = "a desert by day, the sun"


def denoiser(x: Tensor, time: float, rows: Tensor) -> Tensor:
    return torch.sin(x + time) + x.mean((1, 2, 3), keepdim=True)


def latents(seed: int, count: int = 2) -> Tensor:
    return torch.randn((count, 3, 6, 5), generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def free() -> Tensor:
    return torch.rand((6, 5), generator=torch.Generator().manual_seed(0)) < 0.4


# The latent


def test_the_rest_of_the_latent_is_kept_to_the_last_bit(free: Tensor) -> None:
    latent = latents(1)
    found = walk.resample(SCHEDULE, denoiser, inversion.levels(SCHEDULE, denoiser, latent), free, latents(2))
    kept = ~free.expand_as(latent)
    assert torch.equal(found[kept], latent[kept])
    assert (found[~kept] != latent[~kept]).all()


def test_nothing_free_keeps_all_and_everything_free_is_sampling() -> None:
    latent, noise, none = latents(1), latents(2), torch.zeros((6, 5), dtype=torch.bool)
    known = inversion.levels(SCHEDULE, denoiser, latent)
    assert torch.equal(walk.resample(SCHEDULE, denoiser, known, none, noise), latent)
    sampled = inversion.sample(SCHEDULE, denoiser, noise)
    assert torch.equal(walk.resample(SCHEDULE, denoiser, known, ~none, noise), sampled)


def test_the_free_part_sees_the_rest(free: Tensor) -> None:
    noise = latents(2)
    one, other = (
        walk.resample(SCHEDULE, denoiser, inversion.levels(SCHEDULE, denoiser, latents(seed)), free, noise)
        for seed in (1, 3)
    )
    assert (one != other)[free.expand_as(one)].all()


def test_levels_are_those_of_the_inverted_sampler() -> None:
    latent = latents(1)
    found = inversion.levels(SCHEDULE, denoiser, latent)
    assert len(found) == len(STEPS) + 1
    assert found[-1] is latent
    torch.testing.assert_close(found[0], SCHEDULE.init * inversion.invert_sampler(SCHEDULE, denoiser, latent))


def test_levels_step_into_each_other_where_the_model_does_not_move() -> None:
    def still(x: Tensor, time: float, rows: Tensor) -> Tensor:
        return torch.full_like(x, time / 1000)

    found = inversion.levels(SCHEDULE, still, latents(1))
    for step, before, after in zip(STEPS, found[:-1], found[1:], strict=True):
        torch.testing.assert_close(inversion.apply_step(step, still, before, torch.arange(2)), after)


def test_cells_are_free_where_any_of_their_pixels_is() -> None:
    mask = np.zeros((16, 24), np.bool_)
    mask[7, 8] = mask[15, 23] = True
    assert editing.free_cells(mask, 8).tolist() == [[False, True, False], [False, False, True]]


@pytest.mark.parametrize("share", [0.001, 0.02, 0.9])
def test_no_masked_pixel_is_stuck_and_no_cell_is_free_without_one(share: float) -> None:
    mask = np.random.default_rng(3).random((64, 48)) < share
    cells = editing.free_cells(mask, 8).numpy()
    assert cells.repeat(8, 0).repeat(8, 1)[mask].all()
    assert (mask.reshape(8, 8, 6, 8).sum((1, 3))[cells] > 0).all()


# The pixels


@pytest.fixture
def before_and_after() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    generator = np.random.default_rng(0)
    first, second = generator.integers(0, 256, (2, 2, 32, 40, 3), dtype=np.uint8)
    return first, second


Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def test_pasting_keeps_the_pixels_outside(before_and_after: Pair) -> None:
    pictures, edited = before_and_after
    mask = np.zeros((32, 40), np.bool_)
    mask[4:28, 6:30] = True
    found = editing.pasted(pictures, edited, mask, 8)
    np.testing.assert_array_equal(found[:, ~mask], pictures[:, ~mask])
    np.testing.assert_array_equal(found[:, 12:20, 14:22], edited[:, 12:20, 14:22])
    low, high = np.minimum(pictures, edited), np.maximum(pictures, edited)
    assert ((low <= found) & (found <= high)).all()


def test_a_narrow_mask_still_shows_the_edit(before_and_after: Pair) -> None:
    pictures, edited = before_and_after
    mask = np.zeros((32, 40), np.bool_)
    mask[10, 5:20] = True
    found = editing.pasted(pictures, edited, mask, 8)
    np.testing.assert_array_equal(found, np.where(mask[..., None], edited, pictures))


def share_of_edit(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How much of the edit every pixel takes over."""
    black = np.zeros((1, *mask.shape, 3), np.uint8)
    share: NDArray[np.float64] = editing.pasted(black, black + 255, mask, 8)[0, ..., 0] / 255
    return share


@pytest.mark.parametrize("start", [75, 83], ids=["joined", "separate"])
def test_a_thin_line_beside_a_disc_shows_the_edit_too(start: int) -> None:
    y, x = np.mgrid[:128, :200]
    disc, line = (y - 64) ** 2 + (x - 50) ** 2 < 30**2, (abs(y - 64) <= 1) & (x >= start) & (x < 160)
    alone, both = share_of_edit(disc), share_of_edit(disc | line)
    assert (both[64, 86:158] == 1).all()
    assert (both[63, 86:158] > 0.4).all()
    assert (both[line] > 0.3).all()  # where they meet, too
    away = ~line & (x < 70)
    np.testing.assert_allclose(both[away], alone[away], atol=0.01)
    assert max(np.abs(np.diff(alone, axis=k)).max() for k in (0, 1)) < 0.15  # the disc's own edge is soft


def test_nothing_is_pasted_where_all_may_change(before_and_after: Pair) -> None:
    pictures, edited = before_and_after
    np.testing.assert_array_equal(editing.pasted(pictures, edited, np.ones((32, 40), np.bool_), 8), edited)


# What cannot be edited

PICTURES, MASK = np.zeros((2, 256, 256, 3), np.uint8), np.ones((256, 256), np.bool_)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"pictures": PICTURES[:, :99]}, "Pictures must be uint8 [B, 256, 256, 3], not uint8 [2, 99, 256, 3]."),
        ({"pictures": PICTURES[0]}, "Pictures must be uint8 [B, 256, 256, 3], not uint8 [256, 256, 3]."),
        ({"pictures": PICTURES / 255}, "Pictures must be uint8 [B, 256, 256, 3], not float64 [2, 256, 256, 3]."),
        ({"pictures": PICTURES[:0]}, "At least one picture is needed."),
        ({"mask": MASK[:99]}, "The mask must be bool [256, 256], not bool [99, 256]."),
        ({"mask": MASK * 1.0}, "The mask must be bool [256, 256], not float64 [256, 256]."),
        ({"mask": ~MASK}, "The mask is empty, so nothing may change."),
        ({"prompts": ["one"]}, "There are 1 prompts for 2 pictures."),
        ({"seed": -1}, "A seed must not be negative."),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_errors_are_sentences(model: LatentModel, changed: dict[str, Any], sentence: str) -> None:
    usual: dict[str, Any] = {"pictures": PICTURES, "mask": MASK, "prompts": "a desert", "seed": 1, "steps": 2}
    with pytest.raises(InputError, match=f"^{re.escape(sentence)}$"):
        editing.edit(model, **{**usual, **changed}, plan=inversion.METHODS["encoder"])


# With the demo model


def square(low: int, high: int) -> NDArray[np.bool_]:
    mask = np.zeros((256, 256), np.bool_)
    mask[low:high, low:high] = True
    return mask


def test_a_method_that_diverges_is_told(model: LatentModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LatentModel, "encode", lambda self, pixels: torch.full((1, *self.shape), torch.nan))
    sentence = "The decoder inversion adam gave numbers that are not finite; try another method, or float32."
    with pytest.raises(InputError, match=f"^{sentence}$"):
        editing.edit(model, PICTURES[:1], MASK, PROMPT, 1, inversion.METHODS["adam"].with_budget(1))


def test_what_fills_the_mask_is_not_the_noise_that_drew_the_picture(
    model: LatentModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def resample(known: Sequence[Tensor], free: Tensor, noise: Tensor, prompts: Any, *, guidance: float) -> Tensor:
        seen.append(noise)
        return known[-1]

    monkeypatch.setattr(model, "resample", resample)
    editing.fill(model, [torch.zeros((2, *model.shape))] * 3, MASK, ["", ""], 7, 1.0)
    drew = plain_noise(model.shape, 7, 2)
    correlations = np.corrcoef(torch.cat([seen[0], drew]).flatten(1).numpy())
    assert np.abs(correlations - np.eye(4)).max() < 0.08


@pytest.fixture(scope="module")
def both(pictures: dict[Any, NDArray[np.uint8]]) -> NDArray[np.uint8]:
    return np.stack([pictures[0], pictures[1]])


@pytest.fixture(scope="module")
def edited(model: LatentModel, both: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return editing.edit(model, both, square(96, 160), [PROMPT, "the sea by night"], 7, steps=3)


def test_the_masked_part_changes_most(both: NDArray[np.uint8], edited: NDArray[np.uint8]) -> None:
    change, mask = np.abs(edited.astype(int) - both).mean((0, 3)), square(96, 160)
    assert edited.shape == both.shape
    assert edited.dtype == np.uint8
    assert change[mask].mean() > 4 * change[~mask].mean()


def test_a_picture_depends_on_its_own_seed_alone(
    model: LatentModel, both: NDArray[np.uint8], edited: NDArray[np.uint8]
) -> None:
    mask, prompts = square(96, 160), "the sea by night"
    alone = editing.edit(model, both[1:], mask, prompts, 8, steps=3)
    np.testing.assert_array_equal(alone[0], edited[1])
    np.testing.assert_array_equal(editing.edit(model, both[1:], mask, prompts, 8, steps=3), alone)
    assert (editing.edit(model, both[1:], mask, prompts, 9, steps=3) != alone).any()


def test_better_inversion_keeps_the_background_better(model: LatentModel, both: NDArray[np.uint8]) -> None:
    """A small mask: what a large one does to the background is the decoder's doing, and the same for all."""
    mask, kept = square(116, 132), ~square(92, 156)
    errors = []
    for name in ("encoder", inversion.DEFAULT):
        plan = inversion.METHODS[name]
        found = editing.edit(model, both, mask, PROMPT, 7, plan, steps=3)
        errors.append(((found.astype(float) - both)[:, kept] ** 2).mean((1, 2)))
    assert (errors[1] < 0.8 * errors[0]).all()


def test_pasting_is_an_option(model: LatentModel, both: NDArray[np.uint8], edited: NDArray[np.uint8]) -> None:
    mask = square(96, 160)
    found = editing.edit(model, both[:1], mask, PROMPT, 7, steps=3, paste=True)
    np.testing.assert_array_equal(found[0], editing.pasted(both[:1], edited[:1], mask, model.factor)[0])


# The command

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """In a folder with a picture and a mask."""
    monkeypatch.chdir(tmp_path)
    save("a.png", np.zeros((256, 256, 3)))
    save("mask.png", square(96, 160) * 255)

    def call(*arguments: object, **settings: Any) -> Result:
        return CliRunner().invoke(main, ["edit", *map(str, arguments)], **settings)

    return call


@pytest.fixture
def demo(monkeypatch: pytest.MonkeyPatch, model: LatentModel) -> None:
    """The model that is loaded already."""
    monkeypatch.setattr(models, "load", lambda *_: model)


def save(path: str, pixels: NDArray[Any]) -> None:
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def fails(result: Result, sentence: str, code: int = 1) -> None:
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.splitlines()[-1] == f"Error: {sentence}"
    assert not Path("a-edited.png").exists()


WORDS = ("a.png", "--mask", "mask.png", "--prompt", PROMPT)
QUICK = ("--steps", 2, "--guidance", 1, "--method", "encoder")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["a.png", "--prompt", "x"], "Missing option '--mask'."),
        (["a.png", "--mask", "mask.png"], "Missing option '--prompt'."),
        (["--mask", "mask.png", "--prompt", "x"], "Missing argument 'IMAGE'."),
        (
            [*WORDS, "--seed", "x"],
            "Invalid value for '--seed': 'x' is not a seed: a number from 0 up, of at most 18 digits.",
        ),
        (
            [*WORDS, "--method", "encoder", "--iterations", "3"],
            "The method encoder has no iterations; leave --iterations out.",
        ),
        (["-", *WORDS[1:], "--mask", "-"], "IMAGE and --mask cannot both be standard input."),
        (
            ["-", *WORDS[1:]],
            "A picture from standard input has no name; name the new one with --output.",
        ),
    ],
)
@pytest.mark.usefixtures("no_model")
def test_wrong_usage(run: Run, words: Sequence[str], sentence: str) -> None:
    fails(run(*words), sentence, 2)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["no.png", *WORDS[1:]], "no.png does not exist."),
        ([*WORDS, "--mask", "no.png"], "no.png does not exist."),
        ([*WORDS, "--mask", "text.png"], "text.png is not a picture that can be read."),
        (["text.png", *WORDS[1:]], "text.png is not a picture that can be read."),
        ([*WORDS, "--mask", "."], ". is a folder, not a picture."),
        (
            [*WORDS, "--mask", "small.png"],
            "small.png is 30x20 pixels, but a.png is 256x256; a mask must be as large as its picture.",
        ),
        ([*WORDS, "--output", "mask.png"], "mask.png exists already; use --force to overwrite it."),
        ([*WORDS, "--output", "b.jpg"], "b.jpg must end in .png, because pictures are written as PNG."),
        ([*WORDS, "--output", "no/b.png"], "no/b.png cannot be written: its folder does not exist."),
    ],
)
@pytest.mark.usefixtures("no_model")
def test_what_cannot_be_edited(run: Run, words: Sequence[str], sentence: str) -> None:
    Path("text.png").write_text("a picture")
    save("small.png", np.zeros((20, 30)))
    fails(run(*words), sentence)


@pytest.mark.usefixtures("demo")
def test_a_black_mask(run: Run) -> None:
    save("mask.png", np.full((256, 256), 127))
    fails(run(*WORDS), "mask.png is black everywhere, so nothing may change; white marks what may.")


@pytest.mark.usefixtures("demo")
def test_a_mask_loses_the_margins_that_its_picture_loses(run: Run) -> None:
    wide = np.zeros((128, 256))
    wide[:, :60] = 255
    save("a.png", wide)
    save("mask.png", wide)
    sentence = (
        "The white in mask.png is so small or so near the border that nothing is left of it at 256x256, "
        "so nothing may change; white marks what may."
    )
    fails(run(*WORDS), sentence)


@pytest.mark.usefixtures("demo")
def test_a_line_for_people_and_the_default_name(run: Run) -> None:
    result = run(*WORDS, *QUICK)
    assert (result.exit_code, result.stderr) == (0, "")
    assert re.fullmatch(r"a-edited\.png  6\.2 % open to change  \d+\.\d s\n", result.stdout)
    with Image.open("a-edited.png") as image:
        assert (image.size, image.mode, image.info) == ((256, 256), "RGB", {})
    again = run(*WORDS, *QUICK)
    assert again.stderr == "Error: a-edited.png exists already; use --force to overwrite it.\n"
    assert run(*WORDS, *QUICK, "--force").exit_code == 0


@pytest.mark.usefixtures("demo")
def test_json_and_notes(run: Run) -> None:
    save("large.png", np.zeros((512, 768, 3)))
    save("mask.png", np.pad(np.full((256, 512), 255), ((0, 256), (256, 0))))
    result = run("large.png", *WORDS[1:], *QUICK, "--json", "--seed", 5)
    record = json.loads(result.stdout)
    check("edit", record)
    assert record.pop("seconds") > 0
    assert record == {
        "file": "large-edited.png",
        "image": "large.png",
        "mask": "mask.png",
        "prompt": PROMPT,
        "seed": 5,
        "open": 0.375,  # 384 of the 512 columns that are left, and half of the rows
        "method": "encoder",
        "notes": ["Cropped from 768x512 to 512x512 about the centre.", "Resized from 512x512 to 256x256."],
    }


@pytest.mark.usefixtures("demo")
def test_a_seed_makes_the_same_file_and_pasting_keeps_pixels(run: Run) -> None:
    generator = np.random.default_rng(0)
    save("a.png", generator.integers(0, 256, (256, 256, 3)))
    data = io.BytesIO(Path("a.png").read_bytes())
    for name, words in (("1.png", ["--seed", 5]), ("2.png", ["--seed", 5]), ("3.png", [])):
        assert run("-", *WORDS[1:], *QUICK, "--output", name, *words, input=data.getvalue()).exit_code == 0
    files = [Path(f"{name}.png").read_bytes() for name in (1, 2, 3)]
    assert files[0] == files[1] != files[2]
    assert run(*WORDS, *QUICK, "--paste").exit_code == 0
    kept = [np.asarray(Image.open(name))[~square(96, 160)] for name in ("a.png", "a-edited.png")]
    np.testing.assert_array_equal(kept[0], kept[1])


# The experiment


@pytest.mark.parametrize("size", [(256, 256), (256, 448)])
def test_masks_have_their_share_and_lie_inside(size: tuple[int, int]) -> None:
    found = experiment.masks(size, 8_000_000)
    assert tuple(found) == experiment.SHARES
    for share, mask in found.items():
        assert mask.shape == size
        assert mask.mean() == pytest.approx(share, rel=0.06)
    fills = {
        share: mask.sum() / np.prod([np.ptp(place) + 1 for place in mask.nonzero()]) for share, mask in found.items()
    }
    assert [value > 0.95 for value in fills.values()] == [False, True, False, True, False]  # rectangles take turns
    assert experiment.masks(size, 8_000_001)[0.1].tolist() != found[0.1].tolist()


def test_differences() -> None:
    original, mask = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), np.bool_)
    mask[:8, :8] = True
    edited = original.copy()
    edited[mask] = 255
    edited[8:12, :12] = 16
    found = experiment.differences(original, edited, mask, 8)
    assert found["open"] == 1 / 64
    assert found["psnr_inside"] == 0
    assert found["psnr_outside"] == pytest.approx(20 * np.log10(255 / 16) + 10 * np.log10(63 * 64 / 48))
    assert found["psnr_far"] == experiment.psnr(original, original) > 70


def invented(method: str, share: float, i: int) -> Row:
    background = 30.0 + i + (5 + 0.1 * i if method == experiment.OURS else 0)
    mark = {"log10_p": -20.0, "right": 1, "log10_p_before": -40.0, "right_before": 1}
    pixels = {"psnr_outside": background, "psnr_far": background + 0.5 * i, "psnr_inside": 9.0 if share else None}
    head = {"picture": i, "method": method, "share": share, "open": share, "inversion_seconds": 0.5}
    return {**head, **pixels, **mark, "files": None}


NAMES = (experiment.ENCODER, experiment.OURS)


def line_of(text: str, begin: str) -> str:
    return next(line for line in re.sub(" +", " ", text).splitlines() if line.startswith(begin))


@pytest.mark.parametrize("count", [1, 3])
def test_table_and_figure(tmp_path: Path, count: int) -> None:
    rows = [invented(name, share, i) for i in range(count) for name in NAMES for share in (0.0, 0.1)]
    text = experiment.EXPERIMENT.table(rows)
    assert text.startswith(f"Right class at p <= 1e-06 in the unedited pictures: 100.0 % ({count} of {count}; 95 % ")
    line = line_of(text, "| treering's default | 10% |")
    assert f"| {count}/{count} |" in line
    # three gains with the same t = 5.1 / (0.1 / sqrt(3)), so p = 0.000128 each, times three
    assert ("| 5.1 ± 0.2 (p = 0.00038) |" if count > 1 else "| 5.0 (too few pictures to tell) |") in line
    assert ("p corrected for the table's 3 paired t-tests" if count > 1 else "too few for tests") in text
    page = experiment.EXPERIMENT.figure(rows, tmp_path)
    assert len(page.axes) == 3
    assert bool(page.axes[0].collections) == (count > 1)  # one picture has no interval
    written = figures.save(page, tmp_path / "figure")
    assert all(path.stat().st_size > 10_000 for path in written)


def test_pictures_that_were_lost_are_left_out_of_both_sides(tmp_path: Path) -> None:
    rows = [invented(name, 0.1, i) for i in range(4) for name in NAMES]
    missing: Row = dict.fromkeys(("psnr_outside", "psnr_far", "psnr_inside", "log10_p", "right"))
    rows[0] |= missing  # the encoder's picture 0
    rows[3] |= missing | {"psnr_outside": float("nan")}  # ours of picture 1
    text = experiment.EXPERIMENT.table(rows)
    assert "encoder: 1 of 4 edits gave numbers that are not finite, and are left out." in text
    line = line_of(text, "| treering's default | 10% |")
    assert "| 3/3 |" in line
    assert "- 10% may change: 3 of 3 right after the edit, 3 before (not significantly fewer, p = 1)" in text
    assert "| 5.2 ± 0.6 (" in line  # of the pictures 2 and 3
    lost = [row if row["method"] == experiment.ENCODER else row | missing for row in rows]
    assert "| 0/0 |" in line_of(experiment.EXPERIMENT.table(lost), "| treering's default | 10% |")
    experiment.EXPERIMENT.figure(lost, tmp_path)


@pytest.fixture
def made(model: LatentModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bench.Bench:
    """A bench of one picture and one share, with little work for the sampler."""
    monkeypatch.setattr(bench, "load", lambda *_, **__: model)
    monkeypatch.setattr(experiment, "SHARES", (0.1,))
    monkeypatch.setattr(experiment, "GUIDANCE", 1.0)
    monkeypatch.setattr(experiment, "STEPS", 3)
    made = bench.Bench(bench.Settings(1, (1,)), tmp_path)
    made.keyring = replace(made.keyring, steps=4)
    return made


def test_a_picture_is_measured(made: bench.Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every, levels = experiment.plans, []
    monkeypatch.setattr(
        experiment, "plans", lambda settings: {k: v for k, v in every(settings).items() if k != experiment.FREE}
    )
    real = editing.trajectory
    monkeypatch.setattr(editing, "trajectory", lambda *given: levels.append(real(*given)) or levels[-1])
    made.run = "1a2b"
    rows = experiment.EXPERIMENT.measure(made, "picture 0")
    assert {len(known) for known in levels} == {3 + 1}
    assert {row["files"] for row in rows if row["share"]} == {"edit-000-1a2b"}  # tells the settings
    cases = [(row["method"], row["share"]) for row in rows]
    ours, true = experiment.OURS, experiment.TRUE
    assert cases == [("encoder", 0.0), ("encoder", 0.1), (ours, 0.0), (ours, 0.1), (true, 0.1)]
    assert all(row["right_before"] == 1 for row in rows)
    assert number(rows[2], "psnr_outside") > number(rows[0], "psnr_outside")
    parts = ("original", "mask", "encoder", "treerings-default", "true-latent")
    assert {path.name for path in made.pictures.iterdir()} == {f"edit-000-1a2b-{part}.png" for part in parts}
    figure = experiment.EXPERIMENT.figure(rows, tmp_path)
    assert len(figure.subfigs[1].axes) == 6  # five pictures and the scale of the errors


def test_a_method_that_diverges_costs_its_own_rows_alone(made: bench.Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the gradient-free method may in 16 bit."""
    real = inversion.invert_decoder

    def diverging(model: LatentModel, pixels: Tensor, plan: inversion.DecoderInversion) -> Any:
        found = real(model, pixels, plan)
        return replace(found, value=found.value * torch.nan) if plan.name == "adam" else found

    monkeypatch.setattr(inversion, "invert_decoder", diverging)
    rows = experiment.EXPERIMENT.measure(made, "picture 0")
    lost = [row for row in rows if row["right"] is None]
    assert [(row["method"], row["share"]) for row in lost] == [(experiment.FREE, 0.0), (experiment.FREE, 0.1)]
    assert all(row["psnr_outside"] is row["log10_p"] is row["files"] is None for row in lost)
    assert "gradient-free: 2 of 2 edits gave numbers" in experiment.EXPERIMENT.table(rows)
