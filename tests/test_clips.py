"""Clips: files of frames, marks over frames, and what is read of them."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import stats

from treering import clips, marked
from treering.clips import keep, limits
from treering.clips.write import encode
from treering.errors import ImageError, InputError
from treering.inversion import METHODS, invert_clip, invert_decoder
from treering.marks import clips as over_frames
from treering.marks import fourier
from treering.marks.keyring import Keyring
from treering.marks.patterns import Pattern
from treering.reading.clips import FEW, ClipDetector, either, stages
from treering.reading.whole import STAGES, WholeDetector, _ways
from treering.research.families.own import build
from treering.settings import EFFORTS
from treering_cli.main import main

RING = Keyring(bytes(range(32)), Pattern(outer=6), sizes=((128, 128),))


def moving(count: int = 6, side: int = 32) -> np.ndarray:
    """Frames ``[F, H, W, 3]`` of blocks that move."""
    blocks = np.random.default_rng(0).integers(0, 256, (side // 8, side // 8, 3), np.uint8)
    picture = blocks.repeat(8, 0).repeat(8, 1)
    return np.stack([np.roll(picture, 2 * i, 1) for i in range(count)])


# ------------------------------------------------------------------------------------ marks


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 9), st.sampled_from([None, 0.0, 6.0, 90.0]), st.floats(0, 1), st.integers(0, 9))
def test_the_mean_over_time_is_the_key_and_nothing_else_changes(frames, turn, share, seed):
    plain, natural = over_frames.unmarked(RING.shape, seed, frames, turn)
    noise = over_frames.noise(RING, 2, seed, frames, share=share, turn=turn)[0]
    cells, key = RING.cells(), RING.values([2])[0]
    points = fourier.coefficients(noise.transpose(0, 1).contiguous(), cells).numpy()
    np.testing.assert_allclose(points.mean(0), np.sqrt(max(share, natural)) * key, atol=1e-5)
    rest = [fourier.imprint(x.transpose(0, 1).contiguous(), cells, torch.zeros(len(key))) for x in (plain, noise)]
    torch.testing.assert_close(rest[0], rest[1], atol=1e-5, rtol=0)


@pytest.mark.parametrize("turn", [None, 6.0])
def test_with_the_share_of_the_mean_the_noise_is_as_unmarked_noise_is(turn):
    cells, frames = RING.cells(), 4
    rings = (Keyring(bytes([i]) * 32, RING.pattern, sizes=RING.sizes) for i in range(60))
    noise = [over_frames.noise(ring, 0, i, frames, share=0, turn=turn)[0] for i, ring in enumerate(rings)]
    plain = [over_frames.unmarked(RING.shape, 100 + i, frames, turn)[0] for i in range(60)]
    found = [
        np.mean([p @ p.conj().T / p.shape[1] for p in (_points(one, cells) for one in many)], 0)
        for many in (noise, plain)
    ]
    np.testing.assert_allclose(found[0], found[1], atol=0.03)


def _points(noise, cells):
    return fourier.coefficients(noise.transpose(0, 1).contiguous(), cells).numpy()


def test_p_of_a_mean_is_uniform_whatever_frames_have_in_common():
    shared = torch.randn(1, *RING.shape, generator=torch.Generator().manual_seed(0))
    own = torch.randn(5, *RING.shape, generator=torch.Generator().manual_seed(1))
    mean = (2 * shared + own).mean(0, keepdim=True)  # anything but independent, and not of unit variance
    rings = (Keyring(i.to_bytes(32, "big"), RING.pattern, sizes=RING.sizes) for i in range(300))
    p = [10 ** ring.match(mean, [0])[0].log10_p for ring in rings]
    assert stats.kstest(p, "uniform").pvalue > 1e-3


@pytest.mark.parametrize(("frames", "share"), [(0, 0.5), (5000, 0.5), (3, 2.0), (3, float("nan"))])
def test_clips_that_cannot_be(frames, share):
    with pytest.raises(InputError):
        over_frames.noise(RING, 0, 1, frames, share=share)


# ------------------------------------------------------------------------------------ files


@given(st.integers(1, 400), st.integers(1, 20))
@settings(max_examples=40, deadline=None)
def test_frames_that_are_kept_are_spread_and_few(count, most):
    kept = keep.Kept[int](most)
    for i in range(count):
        if kept.wants(i):
            kept.add(i)
        assert len(kept._frames) < 2 * most + 1
    found = kept.frames
    assert found == sorted(set(found))
    assert len(found) == min(most, count)
    if most > 1 and count >= 4 * most:
        assert found[0] <= count / 4
        assert found[-1] >= count / 2 - 1


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif", ".apng", ".webp", ""])
def test_what_is_written_is_read(tmp_path, suffix):
    if suffix in (".mp4", ".webm"):
        pytest.importorskip("av")
    path, frames = tmp_path / f"clip{suffix}", moving(11)
    clips.write(frames, path, 24.0)
    found = clips.read(path, most=16)
    assert (found.frames.shape, found.total, found.notes) == (frames.shape, 11, ())
    error = np.abs(found.frames.astype(int) - frames).mean()
    assert error == 0 if suffix in ("", ".apng", ".webp") else error < 12
    assert clips.is_clip(path) == (suffix != "")
    few = clips.read(path, (16, 16), most=3)
    assert few.frames.shape == (3, 16, 16, 3)
    assert len(clips.read(path, most=4, together=True).frames) == 4
    with pytest.raises(InputError, match="not empty" if not suffix else "exists already"):
        clips.write(frames, path)


def test_the_same_frames_give_the_same_bytes(tmp_path):
    pytest.importorskip("av")
    for name in ("a.mp4", "b.mp4"):
        clips.write(moving(), tmp_path / name)
    data = (tmp_path / "a.mp4").read_bytes()
    assert data == (tmp_path / "b.mp4").read_bytes()
    assert b"Lavf" not in data


def test_frames_of_a_folder_come_in_the_order_of_their_numbers(tmp_path):
    for i in (10, 9, 1):
        Image.new("RGB", (8, 8), (i, i, i)).save(tmp_path / f"f{i}.png")
    (tmp_path / "notes.txt").write_text("no frame")
    assert clips.read(tmp_path).frames[:, 0, 0, 0].tolist() == [1, 9, 10]


def test_pictures_are_no_clips(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "one.gif")
    Image.new("RGB", (8, 8)).save(tmp_path / "one.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "one.webp")
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xff\xff\xff")
    assert not any(clips.is_clip(path) for path in tmp_path.iterdir())
    assert not clips.is_clip(tmp_path / "absent.gif")


def hostile(kind: str) -> bytes:
    """Bytes of a file that calls itself a video and is none, or not a whole one."""
    av = pytest.importorskip("av")
    if kind == "sound":
        buffer = io.BytesIO()
        with av.open(buffer, "w", format="mp4") as container:
            stream = container.add_stream("aac", rate=16000)
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 16000
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return buffer.getvalue()
    whole = encode(moving(), ".mp4", 24.0)
    return {
        "empty": b"",
        "text": b"not a video at all\n" * 50,
        "cut": whole[: len(whole) // 3],
        "playlist": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n",
        "concat": b"ffconcat version 1.0\nfile '/etc/hostname'\n",
        "zeros": bytes(4096),
    }[kind]


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("empty", "is empty."),
        ("text", "is not a video that can be read."),
        ("cut", "is not a video that can be read."),
        ("playlist", "is not a video that can be read."),
        ("concat", "is not a video that can be read."),
        ("zeros", "is not a video that can be read."),
        ("sound", "has no pictures in it, only sound or other data."),
    ],
)
def test_hostile_videos_are_one_sentence(tmp_path, kind, sentence):
    path = tmp_path / "x.mp4"
    path.write_bytes(hostile(kind))
    with pytest.raises(ImageError) as caught:
        clips.read(path)
    assert str(caught.value) == f"{path} {sentence}"


def test_a_damaged_video_is_told(tmp_path):
    pytest.importorskip("av")
    path = tmp_path / "x.webm"
    clips.write(moving(40, 64), path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    found = clips.read(path)
    assert 0 < found.total < 40  # what there is of it


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_long_and_large_clips_are_bounded(tmp_path, monkeypatch, suffix):
    pytest.importorskip("av")
    path = tmp_path / f"x{suffix}"
    clips.write(moving(30), path)
    monkeypatch.setattr(limits, "MAX_FRAMES", 10)
    assert "Only the first 10 frames were read." in clips.read(path, most=4).notes
    monkeypatch.setattr(limits, "MAX_FRAMES", 100)
    monkeypatch.setattr(limits, "MAX_DECODED", 5 * 32 * 32)
    assert "Only the first 5 frames were read." in clips.read(path, most=4).notes
    monkeypatch.setattr(limits, "MAX_PIXELS", 100)
    with pytest.raises(ImageError, match="frames of more than 100 pixels"):
        clips.read(path)


def test_without_pyav_one_sentence_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "x.mp4").write_bytes(b"1")
    with pytest.raises(ImageError, match=r"needs PyAV; install it with: pip install 'treering\[video\]'"):
        clips.read(tmp_path / "x.mp4")
    with pytest.raises(InputError, match=r"treering\[video\]"):
        clips.check_target(tmp_path / "y.mp4")
    clips.write(moving(), tmp_path / "z.gif")
    assert clips.read(tmp_path / "z.gif").total == 6


@pytest.mark.parametrize("name", ["-", ".mp4", "clip.avi", "clip.png"])
def test_names_that_no_clip_is_written_to(name):
    with pytest.raises(InputError):
        clips.check_target(Path(name))


# ------------------------------------------------------------------------------------ reading


def test_the_shares_of_every_plan_are_at_most_one():
    for way in (*EFFORTS, "single"):
        assert sum(stage.share for stage in stages(way)) <= 1 + 1e-12
        assert sum(stage.share for stage in STAGES[way]) <= 1 + 1e-12


def test_a_clip_is_read_from_the_mean_of_its_frames(model, keyring, pictures):
    frames = np.stack([pictures[2]] * 3)
    rough = np.random.default_rng(0).normal(0, 40, (9, *frames.shape[1:]))
    hurt = np.clip(pictures[2] + rough, 0, 255).astype(np.uint8)
    read = either(ClipDetector(model, keyring, effort="fast"))
    one, nine = (ClipDetector(model, keyring, effort="fast", every=True)(part[None])[0] for part in (hurt[:1], hurt))
    assert nine.best_key == 2
    assert nine.log10_p < one.log10_p
    assert read(frames[None])[0].key == 2
    assert read(np.stack([pictures[None]] * FEW)[None])[0].answer.value == "none"
    with pytest.raises(InputError, match=r"Clips must be uint8 \[B, K, 256, 256, 3\]"):
        ClipDetector(model, keyring)(frames)


def test_chunks_change_nothing(model, pictures):
    pixels = torch.stack([torch.from_numpy(pictures[key]).permute(2, 0, 1) / 127.5 - 1 for key in (0, 2)])
    whole, parts = (invert_clip(model, pixels, METHODS["encoder"], rows) for rows in (2, 1))
    assert torch.equal(whole.value, parts.value)
    alone = invert_decoder(model, pixels[1:], METHODS["encoder"])
    assert torch.equal(parts.value[1:], alone.value)
    with pytest.raises(InputError):
        invert_clip(model, pixels[:0], METHODS["encoder"])


def test_every_start_and_speed_is_counted_once():
    ways = [tuple(way) for way in _ways(9, 4)]
    assert len(ways) == 19
    assert all(way == tuple(sorted(way)) and way[0] >= 0 and way[-1] <= 8 for way in ways)
    assert tuple(range(9)) not in ways


@pytest.fixture(scope="module")
def video():
    """A causal video model of random weights and a keyring for one of its frames."""
    from treering.models.adapter import PipelineModel

    pipe, call = build("clip, causal, flow")
    pattern = Pattern("noise", (0, 1, 2, 3), (), 1, 3)
    ring = Keyring(bytes(range(32)), pattern, (4, 8, 8), image_size=(64, 64), steps=4)
    return PipelineModel(pipe), ring, pipe, {"max_sequence_length": call["max_sequence_length"]}


def test_a_mark_in_the_noise_of_a_video_model_is_recovered(video):
    model, ring, _, call = video
    noise = over_frames.noise(ring, 3, 1, model.layout((64, 64), 9).shape[1])
    latent = model.sample(noise, "word1", steps=4, guidance=1.0, num_frames=9, height=64, width=64, **call)
    again = model.recover(
        latent, "word1", steps=4, guidance=1.0, evaluations=8, num_frames=9, height=64, width=64, **call
    )
    for kept in (again, again[:, :, 1:], again[:, :, ::2], again[:, :, [0, 0, 2]]):  # trimmed, dropped, doubled
        found = ring.match(kept.double().mean(2).float())[0]
        assert (found.key, found.log10_p < -6) == (3, True)


def test_a_video_model_reads_clips_of_any_length(video):
    model, ring, _, call = video
    read = WholeDetector(model, ring, frames=9, call=call, effort="fast")
    assert read.planes.joined == 4
    lengths = {count: [len(window) for window in read.planes.windows(count)] for count in (1, 5, 8, 9, 40)}
    assert lengths == {1: [5], 5: [5], 8: [5], 9: [9], 40: [9, 9, 9]}
    found = read(moving(3, 64)[None])[0]
    assert (found.answer.value, found.stage) == ("none", "as given")


def test_a_watermarked_video_pipeline_takes_a_keyring_for_frames(video):
    _, ring, pipe, _call = video
    seen = []
    try:
        marked.watermarked(pipe, ring, 3)
        mark = vars(pipe)["_treering_mark"]
        seen = mark._noise((4, 2, 8, 8), ring.image_size, 7)
    finally:
        marked.plain(pipe)
    assert torch.equal(seen, over_frames.noise(ring, 3, 7, 2))


# ------------------------------------------------------------------------------------ commands


def test_embed_detect_and_verify_a_clip(tmp_path, monkeypatch, model):
    from treering import models

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TREERING_KEYRING", str(tmp_path / "own.json"))
    monkeypatch.setattr(models, "load", lambda *_: model)
    run = CliRunner()
    made = run.invoke(
        main, ["embed", "--key", "2", "--frames", "2", "--steps", "8", "--seed", "5", "--output", "clips/a.webp"]
    )
    assert made.exit_code == 0, made.output
    assert clips.read(Path("clips/a.webp")).total == 2
    assert run.invoke(main, ["embed", "--key", "2", "--frames", "2", "--output", "clips/a.webp"]).exit_code == 1
    found = run.invoke(main, ["detect", "--json", "--effort", "fast", "clips/a.webp"])
    assert json.loads(found.stdout)["key"] == 2
    checked = run.invoke(main, ["verify", "--json", "--effort", "fast", "clips"])
    assert json.loads(checked.stdout)["found"]["2"] == 1
    clips.write(clips.read(Path("clips/a.webp")).frames, Path("frames"))
    told = run.invoke(main, ["detect", "--clip", "--effort", "fast", "frames"])
    assert told.stdout.startswith("frames  key 2")


@pytest.mark.parametrize("more", [["--count", "2"], ["--manifest", "m.csv"], ["--prompt", "a", "--prompt", "b"]])
def test_one_clip_at_a_time(tmp_path, monkeypatch, no_model, more):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TREERING_KEYRING", str(tmp_path / "own.json"))
    found = CliRunner().invoke(main, ["embed", "--key", "2", "--frames", "2", "--output", "x.gif", *more])
    assert found.exit_code == 2
    assert "--frames makes one clip" in found.stderr
