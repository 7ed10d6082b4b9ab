"""A stranger's model folder: one sentence each, in seconds, and nothing unpickled, run, followed or built too large."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import treering
from treering.errors import ModelError
from treering.models import headers, trust
from treering.models.demo import WEIGHTS

SECONDS = 5
"""Generous: a refusal takes milliseconds, but the machine may be busy and the libraries be imported first."""
QUICKLY = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(scope="module", autouse=True)
def _libraries_are_imported() -> None:
    """So that what is timed is the refusal."""
    treering.load_model("demo")


def linked(source: Path, target: Path) -> Path:
    """A copy of the demo's folder; hard links cost nothing, and what is edited is replaced."""
    shutil.copytree(source, target, copy_function=os.link)
    return target


def replaced(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    try:
        return linked(WEIGHTS, tmp_path / "model")
    except OSError:  # another file system
        return Path(shutil.copytree(WEIGHTS, tmp_path / "model", dirs_exist_ok=True))


def check_sentence(error: ModelError) -> None:
    assert str(error).isprintable()
    assert len(str(error)) < 1000


def refusal(folder: Path) -> str:
    """The one sentence with which a folder is refused."""
    before = time.perf_counter()
    with pytest.raises(ModelError) as caught:
        treering.load_model(str(folder))
    assert time.perf_counter() - before < SECONDS
    check_sentence(caught.value)
    assert str(caught.value).startswith("The model ")
    return str(caught.value)


def test_the_folder_itself_is_taken(folder: Path) -> None:
    assert treering.load_model(str(folder)).shape == (4, 32, 32)


# -------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("part", ["vae", "unet", "text_encoder", "tokenizer", "scheduler"])
@pytest.mark.parametrize("kind", ["bin", "PT", "ckpt", "pth", "pkl", "msgpack", "h5", "onnx"])
def test_other_weights_beside_them_are_named(folder: Path, part: str, kind: str) -> None:
    place = folder / part / "deep" / f"pytorch_model.{kind}"
    place.parent.mkdir()
    place.write_bytes(b"\x80\x04never opened")
    with pytest.raises(ModelError, match=rf"{part}/deep/pytorch_model\.{kind} is refused, because only weights in"):
        trust.check_files(folder, part)


def test_weights_that_are_not_safetensors_are_refused(folder: Path) -> None:
    (folder / "vae" / "diffusion_pytorch_model.bin").write_bytes(b"")
    assert "vae/diffusion_pytorch_model.bin is refused" in refusal(folder)


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("unet/modeling.py", "unet/modeling.py is refused, because a model brings no code of its own"),
        ("text_encoder/adapter_config.json", "adapter_config.json is refused, because adapters are not loaded"),
        ("text_encoder/adapter_model.safetensors", "adapters are not loaded"),
    ],
)
def test_code_and_adapters_are_refused(folder: Path, file: str, sentence: str) -> None:
    (folder / file).write_text("{}")
    assert sentence in refusal(folder)


def test_a_link_that_leaves_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text((folder / "vae" / "config.json").read_text())
    (folder / "vae" / "config.json").unlink()
    (folder / "vae" / "config.json").symlink_to(elsewhere)
    assert "vae/config.json is a link that leaves the model's folder" in refusal(folder)
    (folder / "vae" / "config.json").unlink()
    (folder / "vae" / "config.json").symlink_to("nowhere")
    assert "vae/config.json is not a plain file" in refusal(folder)


def test_the_hubs_own_links_are_followed(tmp_path: Path) -> None:
    """.../snapshots/REVISION/vae/config.json -> .../blobs/HASH, as huggingface_hub lays its cache out."""
    snapshot, blobs = tmp_path / "models--a--b" / "snapshots" / "0123", tmp_path / "models--a--b" / "blobs"
    blobs.mkdir(parents=True)
    for i, path in enumerate(sorted(path for path in WEIGHTS.rglob("*") if path.is_file())):
        link = snapshot / path.relative_to(WEIGHTS)
        link.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, blobs / str(i))
        link.symlink_to(os.path.relpath(blobs / str(i), link.parent))
    assert treering.load_model(str(snapshot)).shape == (4, 32, 32)
    secret = tmp_path / "secret.txt"
    secret.write_text("{}")
    (snapshot / "vae" / "notes.txt").symlink_to(secret)
    assert "vae/notes.txt is a link that leaves the model's folder" in refusal(snapshot)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_a_fifo_is_not_waited_for(folder: Path) -> None:
    (folder / "tokenizer" / "vocab.json").unlink(missing_ok=True)
    os.mkfifo(folder / "tokenizer" / "vocab.json")
    assert "tokenizer/vocab.json is not a plain file" in refusal(folder)


# ------------------------------------------------------------------------------------ classes


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("scheduler", "DDIMScheduler"),
        ("scheduler", "FlowMatchEulerDiscreteScheduler"),
        ("network", "AutoencoderKL"),
        ("network", "UNet2DConditionModel"),
        ("text encoder", "CLIPTextModel"),
        ("tokenizer", "CLIPTokenizer"),
    ],
)
def test_the_libraries_own_classes_are_taken(kind: str, name: str) -> None:
    assert trust.own_class(kind, name).__name__.startswith(name)


@pytest.mark.parametrize("kind", trust.KINDS)
@pytest.mark.parametrize(
    "name",
    [
        *("StableDiffusionPipeline", "utils", "loaders", "SchedulerMixin", "ModelMixin", "PreTrainedModel", "pipeline"),
        *("AutoModel", "os", "__name__", "__builtins__", "logging", "", "a.b", "DDIMScheduler()", "\x1b[2J", 7, None),
    ],
)
def test_all_else_is_refused(kind: str, name: object) -> None:
    with pytest.raises(ModelError) as caught:
        trust.own_class(kind, name)
    assert str(caught.value).isprintable()


def test_a_class_of_another_kind_is_refused(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    for entry in (["diffusers", "AutoencoderKL"], ["os", "system"], ["my_module", "DDIMScheduler"], "DDIMScheduler", 5):
        replaced(folder / "model_index.json", json.dumps({**index, "scheduler": entry}).encode())
        refusal(folder)


# ----------------------------------------------------------------------------- configurations

BIG = 10**9
HOSTILE = {
    "no steps of training": ("scheduler", "num_train_timesteps", 0, "num_train_timesteps is 0"),
    "too many steps": ("scheduler", "num_train_timesteps", BIG, "num_train_timesteps is 1000000000"),
    "many steps": ("scheduler", "num_train_timesteps", 10**6, "num_train_timesteps is 1000000"),
    "steps that are text": ("scheduler", "num_train_timesteps", "x", "num_train_timesteps is x"),
    "no number": ("scheduler", "beta_start", float("nan"), "beta_start is nan"),
    "long prompts": ("tokenizer", "model_max_length", BIG, "model_max_length is 1000000000"),
    "prompts longer than the encoder": ("tokenizer", "model_max_length", 77, "the text encoder takes 32 tokens"),
    "no prompts": ("tokenizer", "model_max_length", 0, "model_max_length is 0"),
    "scale NaN": ("vae", "scaling_factor", float("nan"), "scaling_factor is nan"),
    "scale 0": ("vae", "scaling_factor", 0, "scaling_factor is 0"),
    "scale infinite": ("vae", "scaling_factor", float("inf"), "scaling_factor is inf"),
    "shift": ("vae", "shift_factor", float("-inf"), "shift_factor is -inf"),
    "wide": ("vae", "block_out_channels", [16, 32, 96, 10**6], "block_out_channels is"),
    "wider than its files": ("vae", "block_out_channels", [16, 32, 96, 16384], "its configuration says"),
    "negative": ("vae", "block_out_channels", [16, 32, 96, -160], "block_out_channels is"),
    "no levels": ("vae", "block_out_channels", [], "block_out_channels is []"),
    "channels": ("vae", "latent_channels", 5, "its configuration says"),
    "groups": ("vae", "norm_num_groups", 0, "norm_num_groups is 0"),
    "huge pictures": ("unet", "sample_size", BIG, "sample_size is 1000000000"),
    "large pictures": ("unet", "sample_size", 2048, "sample_size is 2048"),
    "negative pictures": ("unet", "sample_size", -32, "sample_size is -32"),
    "no size": ("unet", "sample_size", None, "sample_size is None"),
    "a million layers": ("unet", "layers_per_block", 10**6, "layers_per_block is 1000000"),
    "hundreds of layers": ("unet", "layers_per_block", 100, "more layers than its"),
    "deep attention": ("unet", "transformer_layers_per_block", 10**6, "more layers than its"),
    "other text": ("unet", "cross_attention_dim", 129, "The denoiser takes text of width 129"),
    "more conditions": ("unet", "addition_embed_type", "text_time", "addition_embed_type is set"),
    "many words": ("text_encoder", "vocab_size", 10**6, "its configuration says"),
    "too many words": ("text_encoder", "vocab_size", BIG, "vocab_size is 1000000000"),
    "no places": ("text_encoder", "max_position_embeddings", None, "max_position_embeddings is null"),
    "deep text": ("text_encoder", "num_hidden_layers", 10**6, "num_hidden_layers is 1000000"),
    "deeper text": ("text_encoder", "num_hidden_layers", 900, "more layers than its"),
    "more layers than there are": ("text_encoder", "num_hidden_layers", 3, "text_encoder"),
    "remote code": ("text_encoder", "auto_map", {"AutoModel": "evil--code.Model"}, "asks for code of its own"),
    "remote tokenizer": ("tokenizer", "auto_map", {"AutoTokenizer": ["x.Y", None]}, "asks for code of its own"),
    "remote kernel": ("text_encoder", "_attn_implementation", "evil/kernel", "an attention from elsewhere"),
    "quantised": ("text_encoder", "quantization_config", {"load_in_4bit": True}, "is of a quantised model"),
    "control characters": ("scheduler", "num_train_timesteps", "\x1b[2J\n", "num_train_timesteps is [2J"),
}
FILES = {
    "vae": "vae/config.json",
    "unet": "unet/config.json",
    "text_encoder": "text_encoder/config.json",
    "tokenizer": "tokenizer/tokenizer_config.json",
    "scheduler": "scheduler/scheduler_config.json",
}


@pytest.mark.parametrize(("part", "key", "value", "sentence"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_settings(folder: Path, part: str, key: str, value: object, sentence: str) -> None:
    path = folder / FILES[part]
    replaced(path, json.dumps({**json.loads(path.read_text()), key: value}).encode())
    assert sentence in refusal(folder)


BYTES = {
    "nested without end": (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "is not a JSON file that can be read"),
    "not UTF-8": (b'{"a": "\xff\xfe"}', "is not a JSON file that can be read"),
    "not JSON": (b"{", "is not a JSON file that can be read"),
    "a list": (b"[1, 2]", "is not a JSON object"),
    "a number of 10 000 digits": (b'{"a": ' + b"9" * 10_000 + b"}", "is not a JSON file that can be read"),
    "100 MB": (b'{"a": "' + b" " * 100_000_000 + b'"}', " MB"),
}


@pytest.mark.parametrize(("data", "sentence"), BYTES.values(), ids=BYTES)
@pytest.mark.parametrize("file", ["model_index.json", "unet/config.json"])
def test_hostile_json(folder: Path, file: str, data: bytes, sentence: str) -> None:
    replaced(folder / file, data)
    assert sentence in refusal(folder)


# ------------------------------------------------------------------------------------ weights


def safetensors(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    text = json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(shape: object, begin: int, end: int, dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


WRONG = {
    "empty": b"",
    "no header": b"\0" * 8,
    "a header of 10 GB": safetensors({}, length=10 * 2**30),
    "a tensor of 10 GB": safetensors({"a": entry([2500, 1024, 1024], 0, 4 * 2500 * 2**20)}),
    "a shape that is not its bytes": safetensors({"a": entry([5], 0, 16)}, bytes(16)),
    "a negative shape": safetensors({"a": entry([-2, -2], 0, 16)}, bytes(16)),
    "a shape of text": safetensors({"a": entry("ab", 0, 8)}, bytes(8)),
    "an unknown type": safetensors({"a": entry([2], 0, 8, "PICKLE")}, bytes(8)),
    "a list": safetensors([1]),
    "no offsets": safetensors({"a": {"dtype": "F32", "shape": [1]}}),
}


@pytest.mark.parametrize("data", WRONG.values(), ids=WRONG)
def test_hostile_weights(folder: Path, data: bytes) -> None:
    replaced(folder / "vae" / "diffusion_pytorch_model.safetensors", data)
    assert "vae/diffusion_pytorch_model.safetensors is not a whole safetensors file" in refusal(folder)


def test_weights_that_are_not_all_there_are_refused(folder: Path) -> None:
    """What a library would fill with random numbers."""
    from safetensors.torch import load_file, save_file

    path = folder / "text_encoder" / "model.safetensors"
    tensors = load_file(path)
    name = next(name for name in tensors if name.endswith("final_layer_norm.bias"))
    del tensors[name]
    path.unlink()
    save_file(tensors, path, {"format": "pt"})
    assert "text_encoder lacks the weights of" in refusal(folder)


@pytest.mark.parametrize("name", ["../../secret.safetensors", "x.bin", "/etc/passwd", "a\\b.safetensors", 7])
def test_a_list_of_shards_names_files_beside_it_alone(folder: Path, name: object) -> None:
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    index = folder / "vae" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": {"a": name}}))
    assert "diffusion_pytorch_model.safetensors.index.json lists" in refusal(folder)


def test_an_outline_ends_with_its_tensors() -> None:
    """A network without end is given up, and the hooks that watch it go."""

    def endless() -> torch.nn.Module:
        layers = torch.nn.ModuleList()
        while True:
            layers.append(torch.nn.Linear(10**5, 10**5))

    with pytest.raises(ModelError, match="more layers than its 4 tensors"):
        headers.outline(endless, 4)
    assert len(torch.nn.Sequential(*(torch.nn.Linear(1, 1) for _ in range(50)))) == 50
    wide = headers.outline(lambda: torch.nn.Linear(10**6, 10**6), 2)  # 4 TB of numbers, were they made
    assert headers.count(wide) == 10**12 + 10**6


LIMITED = """
import resource, sys
import treering
from treering.errors import ModelError
treering.load_model("demo")
lines = open("/proc/self/status").read().splitlines()
used = 1024 * int(next(line for line in lines if line.startswith("VmData")).split()[1])
resource.setrlimit(resource.RLIMIT_DATA, (used + (256 << 20),) * 2)
for folder in sys.argv[1:]:
    try:
        treering.load_model(folder)
    except ModelError as error:
        assert "MemoryError" not in str(error) and "allocate" not in str(error), error
        print(error)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs RLIMIT_DATA and /proc")
def test_refusals_take_no_memory(tmp_path: Path) -> None:
    """A quarter of a gigabyte above the loaded model is enough for each."""
    names = ("a million layers", "wider than its files", "many words", "huge pictures", "too many steps")
    folders = []
    for name in names:
        part, key, value, _ = HOSTILE[name]
        folders.append(Path(shutil.copytree(WEIGHTS, tmp_path / name)))
        path = folders[-1] / FILES[part]
        path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    done = subprocess.run([sys.executable, "-c", LIMITED, *map(str, folders)], capture_output=True, text=True)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, len(names)), done.stderr


# --------------------------------------------------------------------------------- hypothesis

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("file", ["model_index.json", *FILES.values()])
@QUICKLY
@given(data=st.data())
def test_any_change_of_a_configuration_ends_well(tmp_path_factory: pytest.TempPathFactory, file: str, data) -> None:
    """Either a model that knows its sizes, or one sentence; the checks alone are run, so that it is quick."""
    from treering.models import bounds, folders, loading

    config = json.loads((WEIGHTS / file).read_text())
    key = data.draw(st.sampled_from(sorted(config)) | st.text(max_size=8))
    config[key] = data.draw(JUNK)
    folder = tmp_path_factory.mktemp("any")
    path = folder / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(config))
    try:
        if file == "model_index.json":
            index = trust.read_index(folder)
            if loading.known(index):
                for part, (kind, _) in loading.KNOWN.items():
                    trust.component(index, part, kind)
                trust.component(index, "scheduler", "scheduler")
            else:
                folders.parts_of(index, trust.own_class("pipeline", index["_class_name"]))
        else:
            read = trust.read_config(path)
            parts = {part: json.loads((WEIGHTS / name).read_text()) for part, name in FILES.items()}
            bounds.check({**parts, path.parent.name: read})
    except ModelError as error:
        check_sentence(error)


@settings(max_examples=12, deadline=None)
@given(part=st.sampled_from(["vae", "unet", "scheduler", "text_encoder", "tokenizer"]), data=st.data())
def test_any_change_of_a_folder_loads_or_says_why(tmp_path_factory: pytest.TempPathFactory, part: str, data) -> None:
    folder = tmp_path_factory.mktemp("whole") / "model"
    shutil.copytree(WEIGHTS, folder, copy_function=shutil.copyfile)
    path = folder / FILES[part]
    config = json.loads(path.read_text())
    config[data.draw(st.sampled_from(sorted(config)))] = data.draw(JUNK)
    path.write_text(json.dumps(config))
    try:
        treering.load_model(str(folder))
    except ModelError as error:
        check_sentence(error)
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("place", ["v1-5-pruned.ckpt", "safety_checker/pytorch_model.bin"])
def test_weights_of_other_kinds_are_refused_wherever_they_lie(tmp_path: Path, place: str) -> None:
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_bytes(b"anything")
    with pytest.raises(ModelError, match=f"^{re.escape(place)} is refused, because only weights in .safetensors"):
        trust.check_beside(tmp_path)
