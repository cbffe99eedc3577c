"""Laws of what open_clip and timm tell: shapes, views, weights; which towers experts can stand in, and why not the rest."""

import os
import subprocess
import sys
from pathlib import Path

import open_clip
import pytest
import torch
from open_clip.model import CLIPVisionCfg
from open_clip.timm_model import TimmModel
from open_clip.transformer import QuickGELU, VisionTransformer
from torch import nn

from mole.architecture import Architecture, Library
from mole.errors import ModelError
from mole.tower.backbone import assemble
from mole.tower.hub import allocated, architecture_of, build, download, licence_of, views_of
from mole.views.preprocess import CLIP_MEAN, CLIP_STD

HALF = (0.5, 0.5, 0.5)
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize(
    ("name", "tag", "sizes", "pool", "mean"),
    [
        ("ViT-B-16-SigLIP2", "webli", (224, 16, 768, 12, 12, 768), ("map", False), HALF),
        ("ViT-SO400M-16-SigLIP2-384", "webli", (384, 16, 1152, 27, 16, 1152), ("map", False), HALF),
        ("PE-Core-T-16-384", "meta", (384, 16, 192, 12, 3, 512), ("map", True), HALF),
        ("PE-Core-L-14-336", "meta", (336, 14, 1024, 24, 16, 1024), ("map", True), HALF),
        ("vit_base_patch16_dinov3", "lvd1689m", (256, 16, 768, 12, 12, 768), ("token", False), IMAGENET[0]),
        ("vit_base_patch14_reg4_dinov2", "lvd142m", (518, 14, 768, 12, 12, 768), ("token", False), IMAGENET[0]),
        ("ViT-H-14-worldwide-quickgelu", "metaclip2_worldwide", (224, 14, 1280, 32, 16, 1024), None, CLIP_MEAN),
        ("ViT-bigG-14-worldwide-378", "metaclip2_worldwide", (378, 14, 1664, 48, 16, 1280), None, CLIP_MEAN),
    ],
)
def test_a_tower_is_described_with_its_pooling_and_its_views(
    name: str, tag: str, sizes: tuple[int, ...], pool: tuple[str, bool] | None, mean: tuple[float, ...]
) -> None:
    shape = architecture_of(name)
    found = (shape.image_size, shape.patch_size, shape.width, shape.layers, shape.heads, shape.embed_dim)
    assert found == sizes
    assert (shape.library and (shape.library.pool, shape.library.projects)) == pool
    for seen in (views_of(name, tag, shape), views_of(name, None, shape)):
        assert (seen.mode, seen.size, seen.short_side, seen.mean) == ("resize", sizes[0], sizes[0], mean)


def test_a_plain_tower_of_any_width_of_mlp_is_open_clips_to_the_bit() -> None:
    shape = Architecture(
        image_size=64, patch_size=16, width=48, layers=2, heads=3, embed_dim=16, mlp_ratio=4.9231, quick_gelu=True
    )
    sizes = (shape.image_size, shape.patch_size, shape.width, shape.layers, shape.heads)
    torch.manual_seed(0)
    theirs = VisionTransformer(*sizes, shape.mlp_ratio, output_dim=shape.embed_dim, act_layer=QuickGELU)
    theirs.requires_grad_(False).eval()
    view_B3SS = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(assemble(shape, theirs.state_dict(), "tiny")(view_B3SS), theirs(view_B3SS))


def test_the_smallest_pe_is_open_clips_own_to_the_last_layer() -> None:
    config = open_clip.get_model_config("PE-Core-T-16-384")
    vision = CLIPVisionCfg(**config["vision_cfg"])
    torch.manual_seed(0)
    theirs = TimmModel(
        vision.timm_model_name, config["embed_dim"], vision.image_size, vision.timm_pool, vision.timm_proj
    ).eval()
    ours = assemble(architecture_of("PE-Core-T-16-384"), theirs.state_dict(), "tiny")
    view_13SS = torch.randn(1, 3, 384, 384)
    with torch.inference_mode():
        assert (ours(view_13SS) - theirs(view_13SS)).abs().max() <= 1e-5


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("RN50", r"'RN50' is not a plain ViT \(a ResNet\)"),
        ("convnext_base", "timm's convnext_base under a projection of open_clip's own"),
        ("ViT-L-14-CLIPA", r"not a plain ViT \(final_ln_after_pool, no_ln_pre, pool_type\)"),
        (
            "resnet50",
            "'resnet50' is timm's ResNet, not a plain ViT: experts run in parallel to the MLP of a pre-norm block",
        ),
        ("convnextv2_atto", "timm's ConvNeXt, not a plain ViT"),
        ("vit_base_r50_s16_224", "VisionTransformer after a HybridEmbed"),
        ("beit_base_patch16_224", "timm's Beit, not a plain ViT"),
        ("EVA02-E-14", "the blocks of 'EVA02-E-14' normalize the output of attention and MLP and not their input"),
        ("vit_small_patch16_18x2_224", "run several attentions and several MLPs in parallel"),
        ("no-such-tower", "neither open_clip nor timm knows a model 'no-such-tower'"),
    ],
)
def test_a_tower_that_experts_cannot_stand_in_is_refused_with_the_reason(name: str, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        architecture_of(name)


def test_a_shape_that_timm_does_not_know_is_refused() -> None:
    sizes = {"patch_size": 16, "width": 64, "layers": 1, "heads": 1, "embed_dim": 64}
    shape = Architecture(**sizes, library=Library(model="vit_base", pool="token", projects=False))
    with pytest.raises(ModelError, match="timm knows no model 'vit_base'"):
        build(shape, {})


def test_weights_of_the_other_activation_are_refused_by_the_name_to_take() -> None:
    for name, tag, other in (
        ("ViT-L-14", "openai", "ViT-L-14-quickgelu"),
        ("ViT-H-14-worldwide", "metaclip2_worldwide", "ViT-H-14-worldwide-quickgelu"),
        ("ViT-B-16-quickgelu", "laion2b_s34b_b88k", "ViT-B-16"),
    ):
        with pytest.raises(ModelError, match=f"'{tag}'.*another activation than '{name}'; name '{other}'"):
            views_of(name, tag, architecture_of(name))


def test_a_file_that_may_be_of_two_kinds_of_views_is_refused_and_a_tag_is_not() -> None:
    shape = architecture_of("ViT-L-14")
    with pytest.raises(ModelError, match="weights of 'ViT-L-14' are known with the means .*name the tag"):
        views_of("ViT-L-14", None, shape)
    with pytest.raises(ModelError, match="vit_large_patch16_dinov3.*name the tag"):
        views_of("vit_large_patch16_dinov3", None, architecture_of("vit_large_patch16_dinov3"))
    assert views_of("ViT-L-14", "laion2b_s32b_b82k", shape).mean == HALF
    assert views_of("ViT-L-14", "datacomp_xl_s13b_b90k", shape).std == CLIP_STD


def test_a_tag_that_neither_knows_is_refused() -> None:
    with pytest.raises(ModelError, match="timm has no weights 'lvd0' of 'vit_small_patch16_dinov3'"):
        views_of("vit_small_patch16_dinov3", "lvd0", architecture_of("vit_small_patch16_dinov3"))
    for name in ("PE-Core-T-16-384", "vit_small_patch16_dinov3"):
        with pytest.raises(ModelError, match=f"the weights 'lvd0' of '{name}' are not available"):
            download(name, "lvd0")


def test_the_licence_of_weights_is_told_where_timm_knows_it() -> None:
    name = "vit_base_patch16_dinov3_qkvb"
    assert licence_of(name, "lvd1689m") == "dinov3-license"
    assert licence_of(name, None) == "dinov3-license or fair-noncommercial-research-license"
    assert licence_of("PE-Core-B-16", "meta") == "of the publisher of PE-Core-B-16"


def test_what_is_built_without_weights_computes_for_itself_what_no_file_holds() -> None:
    trunk = allocated(build(architecture_of("PE-Core-T-16-384"), {})[0])
    buffers = dict(trunk.named_buffers())
    assert buffers.keys() == {"rope.bands", "rope.pos_embed"}
    assert all(buffer.isfinite().all() and buffer.abs().max() > 0 for buffer in buffers.values())
    assert isinstance(trunk, nn.Module)


FROM_THE_CACHE = """
import os, pathlib, sys
import open_clip, timm, torch
from safetensors.torch import save_file
from mole.tower.backbone import load_tower

def keep(place, name, model):
    folder = pathlib.Path(os.environ["HF_HOME"], "hub", "models--" + place.replace("/", "--"))
    for part in ("refs", "snapshots/" + "0" * 40):
        (folder / part).mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    save_file({key: tensor.clone() for key, tensor in model.state_dict().items()}, folder / "snapshots" / ("0" * 40) / name)

whole = open_clip.create_model("PE-Core-T-16-384").eval()
keep("timm/PE-Core-T-16-384", "open_clip_model.safetensors", whole)
alone = timm.create_model("vit_tiny_patch16_dinov3_qkvb", num_classes=0, global_pool="token").eval()
keep("timm/vit_tiny_patch16_dinov3_qkvb.eupe_lvd1689m", "model.safetensors", alone)
with torch.inference_mode():
    for theirs, side, name, tag in (
        (whole.visual, 384, "PE-Core-T-16-384", "meta"),
        (alone, 256, "vit_tiny_patch16_dinov3_qkvb", "eupe_lvd1689m"),
    ):
        view = torch.randn(1, 3, side, side)
        assert (load_tower(name, tag)(view) - theirs(view)).abs().max() <= 1e-5, name
"""


def test_weights_that_were_downloaded_once_are_loaded_by_their_tags_without_a_network(tmp_path: Path) -> None:
    offline = os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    run = subprocess.run(
        [sys.executable, "-c", FROM_THE_CACHE], env=offline, check=False, timeout=300, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
