"""Pipeline folders of any family: what loads, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import treering
from treering.errors import ModelError
from treering.models import folders, hub, trust
from treering.models.adapter import PipelineModel
from treering.models.hub import quiet
from treering.research.families.own import build

KIND = "transformer, three encoders, flow"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("family") / "model"
    with quiet():
        build(KIND)[0].save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "model"))


def refusal(folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        treering.load_model(str(folder))
    sentence = str(caught.value)
    assert sentence.isprintable() and sentence.startswith(f"The model {folder} cannot be loaded: ")
    return sentence


def test_a_folder_of_another_family_is_its_pipeline(saved: Path) -> None:
    model = treering.load_model(str(saved))
    assert isinstance(model, PipelineModel) and model.name == str(saved)
    with quiet():
        pipe, call = build(KIND)
        call = {"guidance": call["guidance_scale"], "max_sequence_length": 16}
        noise = torch.randn(1, *model.shape, generator=torch.Generator().manual_seed(0))
        theirs = PipelineModel(pipe).sample(noise, "word1", 2, **call)
        assert torch.equal(model.sample(noise, "word1", steps=2, **call), theirs)
    assert (
        model.fingerprint == treering.load_model(saved, dtype="bfloat16").fingerprint != PipelineModel(pipe).fingerprint
    )


INDEX = {
    "a missing part": ({"vae": None}, "names no vae, which a StableDiffusion3Pipeline needs"),
    "a pipeline of nobody": ({"_class_name": "Evil"}, "Evil is not a pipeline of diffusers"),
    "a function": ({"_class_name": "logging"}, "logging is not a pipeline of diffusers"),
    "another pipeline": ({"_class_name": "FluxPipeline"}, "names text_encoder_3, which a FluxPipeline does not have"),
    "code": ({"transformer": ["my_code", "Net"]}, "The transformer is from 'my_code'"),
    "another library": ({"transformer": ["os", "system"]}, "The transformer is from 'os'"),
    "no class": ({"text_encoder": ["transformers", "pipeline"]}, "pipeline is not a"),
    "a way out": ({"../x": ["diffusers", "AutoencoderKL"]}, "which is not the name of a part"),
    "a part too many": ({"vae2": ["diffusers", "AutoencoderKL"]}, "names vae2, which"),
    "another network": ({"vae": ["diffusers", "AutoencoderTiny"]}, "vae"),
    "half an entry": ({"vae": ["diffusers"]}, "model_index.json names no vae"),
}


@pytest.mark.parametrize(("change", "sentence"), INDEX.values(), ids=INDEX)
def test_hostile_indices(folder: Path, change: dict[str, Any], sentence: str) -> None:
    path = folder / "model_index.json"
    index = {name: value for name, value in {**json.loads(path.read_text()), **change}.items() if value is not None}
    path.write_text(json.dumps(index))
    assert sentence in refusal(folder)


CONFIGS = {
    "huge pictures": ("transformer", "sample_size", 10**6, "sample_size is 1000000"),
    "a million layers": ("transformer", "num_layers", 10**5, "more layers than its"),
    "wider than its files": ("transformer", "caption_projection_dim", 2048, "its configuration"),
    "many places": ("transformer", "pos_embed_max_size", 10**6, "pos_embed_max_size is 1000000"),
    "many steps": ("scheduler", "num_train_timesteps", 10**6, "num_train_timesteps is 1000000"),
    "remote code": ("text_encoder", "auto_map", {"AutoModel": "x--y.Z"}, "asks for code of its own"),
    "quantised": ("transformer", "quantization_config", {"a": 1}, "is of a quantised model"),
}


@pytest.mark.parametrize(("part", "key", "value", "sentence"), CONFIGS.values(), ids=CONFIGS)
def test_hostile_settings(folder: Path, part: str, key: str, value: object, sentence: str) -> None:
    path = folder / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    assert sentence in refusal(folder)


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("text_encoder_3/pytorch_model.bin", "only weights in .safetensors files are opened"),
        ("transformer/net.py", "a model brings no code of its own"),
        ("vae/adapter_config.json", "adapters are not loaded"),
    ],
)
def test_files_that_are_not_opened(folder: Path, file: str, sentence: str) -> None:
    (folder / file).write_bytes(b"anything")
    assert sentence in refusal(folder)


def test_weights_must_all_be_there(folder: Path) -> None:
    shutil.rmtree(folder / "text_encoder_2")
    assert "It has no folder text_encoder_2" in refusal(folder)


def test_parts_that_stay_in_float32_and_that_have_no_limit(tmp_path: Path) -> None:
    for kind in ("clip, causal, flow", "U-Net, DPM-Solver++ 2M"):
        with quiet():
            build(kind)[0].save_pretrained(tmp_path / kind)
        model = treering.load_model(str(tmp_path / kind), dtype="bfloat16")
        assert isinstance(model, PipelineModel)
        if "causal" in kind:
            types = {name: value.dtype for name, value in model.caller.pipe.transformer.named_parameters()}
            assert types["patch_embedding.weight"] == torch.bfloat16 and types["scale_shift_table"] == torch.float32


def test_all_families_classes_are_checked_alike() -> None:
    for kind in (*trust.KINDS, *trust.OTHERS):
        for name in (
            "os",
            "logging",
            "__builtins__",
            "a.b",
            "",
            7,
            None,
            "\x1b[2J",
            "DiffusionPipeline",
            "ProcessorMixin",
        ):
            with pytest.raises(ModelError):
                trust.own_class(kind, name)
    with pytest.raises(ModelError, match="is not the name of a part"):
        folders.parts_of({"a b": ["diffusers", "AutoencoderKL"]}, object)


def test_what_is_fetched_and_what_the_hub_says(monkeypatch: pytest.MonkeyPatch) -> None:
    from fnmatch import fnmatch

    from huggingface_hub import errors

    patterns = hub.wanted(["vae", "text_encoder_3"])
    for file in ("model_index.json", "vae/config.json", "vae/diffusion_pytorch_model-00001-of-00002.safetensors",
                 "text_encoder_3/model.safetensors.index.json"):  # fmt: skip
        assert any(fnmatch(file, pattern) for pattern in patterns)
    for file in ("flux1-dev.safetensors", "vae/diffusion_pytorch_model.bin", "unet/config.json", "README.md"):
        assert not any(fnmatch(file, pattern) for pattern in patterns)
    for kind, sentence in ((errors.GatedRepoError, "is gated"), (errors.RepositoryNotFoundError, "is not on the hub")):

        def fail(*_: object, kind: Any = kind) -> Path:
            raise kind.__new__(kind)

        monkeypatch.setattr(hub, "_snapshot", fail)
        with pytest.raises(ModelError, match=f"The model a/b {sentence}"):
            hub.fetch("a/b", True)
