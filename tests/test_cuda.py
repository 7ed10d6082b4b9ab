"""What only a GPU can show; skipped where there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import treering
from treering.models.adapter import PipelineModel
from treering.models.hub import quiet
from treering.research.families.own import build
from treering.types import Answer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


@pytest.fixture(scope="module", params=["float32", "bfloat16", "float16"])
def there(request: pytest.FixtureRequest) -> Any:
    return treering.load_model("demo", device="auto", dtype=request.param)


def test_the_demo_marks_and_reads_on_the_gpu(there: Any) -> None:
    keyring = treering.Keyring.for_model(there)
    prompts = ["hills by day", "the sea at dawn", "mountains at night"]
    made = treering.embed(there, keyring, 2, prompts, seed=4, steps=10)
    found = treering.Detector(there, keyring)(np.concatenate([made, made[:1] // 2]))
    assert there.device.type == "cuda" and [one.key for one in found[:3]] == [2, 2, 2]
    plain = treering.embed(there, keyring, None, prompts[:1], seed=4, steps=10)
    assert treering.Detector(there, keyring, effort="fast")(plain)[0].answer is Answer.NONE


def test_rows_of_a_batch_agree_up_to_rounding(there: Any) -> None:
    z = torch.randn(5, *there.shape, generator=torch.Generator().manual_seed(0))
    room = 1e-3 if there.vae.dtype == torch.float32 else 0.1
    for work in (there.decode, lambda x: there.recover(x, steps=3)):
        torch.testing.assert_close(work(z)[3:4], work(z[3:4]), rtol=0, atol=room)


@pytest.mark.parametrize(
    "kind", ["U-Net, two encoders, Euler", "packed, embedded guidance, flow", "clip, causal, flow"]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pipelines_come_back_on_the_gpu(kind: str, dtype: torch.dtype) -> None:
    with quiet():
        pipe, call = build(kind)
        prompt = call.pop("prompt")
        model = PipelineModel(pipe.to("cuda", dtype))
        shape = model.layout_of_call(call).shape
        noise = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
        latent = model.sample(noise, prompt, 4, **call)
        again = model.recover(latent, prompt, 4, evaluations=8, **call)
        assert (again.cpu() - noise).square().mean().sqrt() <= (1e-3 if dtype == torch.float32 else 0.03)
        model.forget_text_encoders(**{k: v for k, v in call.items() if k in ("height", "width", "num_frames")})
        assert model.batching.rows("denoiser") > 1 and pipe.device.type == "cuda"


def test_the_bench_of_published_shapes_runs() -> None:
    from treering.research.studies.pipelines import units

    assert any(compiled for _, _, compiled in units("cuda"))
