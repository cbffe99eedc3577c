"""Hub: architectures, weights, preprocessing and licences of towers from open_clip and timm.

The imports are inside the functions on purpose: open_clip imports torchvision, which imports torch's compiler, three
CPU seconds in every process that scores. A checkpoint on one of OpenAI's towers with its own file needs neither
library.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mole.architecture import Architecture, Library
from mole.errors import ModelError
from mole.views.preprocess import Preprocess

PUBLISHED = {
    f"ViT-{size}-quickgelu": Architecture(**shape, heads=shape["width"] // 64, quick_gelu=True)
    for size, shape in {
        "B-32": {"image_size": 224, "patch_size": 32, "width": 768, "layers": 12, "embed_dim": 512},
        "B-16": {"image_size": 224, "patch_size": 16, "width": 768, "layers": 12, "embed_dim": 512},
        "L-14": {"image_size": 224, "patch_size": 14, "width": 1024, "layers": 24, "embed_dim": 768},
        "L-14-336": {"image_size": 336, "patch_size": 14, "width": 1024, "layers": 24, "embed_dim": 768},
    }.items()
}
"""OpenAI's towers by open_clip's names, with open_clip's settings."""
PLAIN_VIT_KEYS = {"image_size", "patch_size", "width", "layers", "head_width", "mlp_ratio"}
"""The keys of open_clip's settings of a plain ViT; any other key means another architecture."""
PRE_NORM = "experts run in parallel to the MLP of a pre-norm block (x + attention(norm(x)), then x + MLP(norm(x)))"
ADVICE = "choose a CLIP ViT, SigLIP, PE-Core or DINOv3"
OTHER_BLOCKS = {
    "ResPostBlock": "normalize the output of attention and MLP and not their input",
    "EvaBlockPostNorm": "normalize the output of attention and MLP and not their input",
    "ParallelScalingBlock": "run attention and MLP in parallel",
    "DiffParallelScalingBlock": "run attention and MLP in parallel",
    "ParallelThingsBlock": "run several attentions and several MLPs in parallel",
}
"""What timm's other blocks do instead."""


def architecture_of(name: str) -> Architecture:
    """Return the shape of a tower by its name in open_clip, such as `ViT-B-16-quickgelu`, or timm.

    Raises:
        ModelError: neither library knows it, or it cannot hold experts.
    """
    return PUBLISHED.get(name) or look_up(name)


def look_up(name: str) -> Architecture:
    """Look up an architecture in open_clip, then in timm.

    Raises:
        ModelError: neither library knows it, or it cannot hold experts.
    """
    import open_clip
    import timm

    config: dict[str, Any] | None = open_clip.get_model_config(name)
    if config is None:
        if not timm.is_model(name):
            raise ModelError(
                f"neither open_clip nor timm knows a model {name!r}; see open_clip.list_models() and timm.list_models()"
            )
        return _architecture_from_timm(name, Library(model=name, pool="avg", projects=False), None)
    vision = config["vision_cfg"]
    if "timm_model_name" in vision:
        if vision.get("timm_proj") not in (None, "none"):
            raise ModelError(
                f"the image tower of {name!r} is timm's {vision['timm_model_name']} under a projection of open_clip's "
                f"own ({vision['timm_proj']}), not a plain ViT; {ADVICE}"
            )
        pool, projects = vision.get("timm_pool") or "avg", vision.get("timm_proj") is None
        library = Library(model=vision["timm_model_name"], pool=pool, projects=projects)
        return _architecture_from_timm(name, library, config["embed_dim"])
    odd = sorted(set(vision) - PLAIN_VIT_KEYS)
    if odd or not isinstance(vision.get("layers"), int):
        raise ModelError(f"the image tower of {name!r} is not a plain ViT ({', '.join(odd) or 'a ResNet'}); {ADVICE}")
    return Architecture(
        image_size=vision["image_size"],
        patch_size=vision["patch_size"],
        width=vision["width"],
        layers=vision["layers"],
        heads=vision["width"] // vision.get("head_width", 64),
        embed_dim=config["embed_dim"],
        quick_gelu=config.get("quick_gelu", False),
        mlp_ratio=vision.get("mlp_ratio", 4.0),
    )


def _architecture_from_timm(name: str, library: Library, embed_dim: int | None) -> Architecture:
    """Build a timm model without weights and read off its shape; `embed_dim` is None if the model decides.

    Raises:
        ModelError: it cannot hold experts.
    """
    import timm

    with torch.device("meta"):
        trunk: Any = timm.create_model(library.model, num_classes=embed_dim if library.projects else 0)
    require_pre_norm(trunk, name)
    if embed_dim is None:
        library = library.model_copy(update={"pool": _pooling_of(trunk, name)})
    sides = trunk.patch_embed
    if sides.img_size[0] != sides.img_size[1] or sides.patch_size[0] != sides.patch_size[1]:
        raise ModelError(f"{name!r} has views of {sides.img_size} and patches of {sides.patch_size}, not square")
    return Architecture(
        image_size=sides.img_size[0],
        patch_size=sides.patch_size[0],
        width=trunk.embed_dim,
        layers=len(trunk.blocks),
        heads=trunk.blocks[0].attn.num_heads,
        embed_dim=embed_dim or trunk.embed_dim,
        quick_gelu=False,
        library=library,
    )


def _pooling_of(trunk: Any, name: str) -> str:
    """Choose the pooling of a timm model: its own, but the class token where that uses the same weights.

    timm pools DINOv3 by the mean of its patches, its authors by the class token; both are after the same norm.

    Raises:
        ModelError: its pooling is none of the three.
    """
    if trunk.global_pool == "avg" and trunk.cls_token is not None and not isinstance(trunk.norm, nn.Identity):
        return "token"
    if trunk.global_pool not in ("token", "avg", "map"):
        raise ModelError(f"{name!r} pools by {trunk.global_pool!r}, which must be token, avg or map; {ADVICE}")
    return str(trunk.global_pool)


def require_pre_norm(trunk: Any, name: str) -> None:
    """Check that a timm model can hold experts and that its tokens can be read after any block.

    Only the two classes whose forward pass is known are accepted: embedding, blocks one by one, norm, head.

    Raises:
        ModelError: it cannot.
    """
    from timm.layers.patch_embed import PatchEmbed
    from timm.models.eva import Eva, EvaBlock
    from timm.models.vision_transformer import Block, VisionTransformer

    kind_of_model = type(trunk).__name__
    if type(trunk) not in (VisionTransformer, Eva):
        raise ModelError(f"{name!r} is timm's {kind_of_model}, not a plain ViT: {PRE_NORM}; {ADVICE}")
    if type(trunk.patch_embed) is not PatchEmbed:
        raise ModelError(
            f"{name!r} is timm's {kind_of_model} after a {type(trunk.patch_embed).__name__}, not a plain ViT; {ADVICE}"
        )
    kinds = {type(block) for block in trunk.blocks}
    if not kinds <= {Block, EvaBlock}:
        kind = next(iter(kinds - {Block, EvaBlock})).__name__
        raise ModelError(
            f"the blocks of {name!r} {OTHER_BLOCKS.get(kind, f'are of kind {kind}')}: {PRE_NORM}; {ADVICE}"
        )


def trunk_of(shape: Architecture) -> Any:
    """Build the timm model of a shape on the meta device, without weights.

    Raises:
        ModelError: timm does not know it, or it cannot hold experts.
    """
    import timm

    library = shape.library
    if library is None or not timm.is_model(library.model):
        raise ModelError(f"timm knows no model {library.model if library else None!r}; see timm.list_models()")
    with torch.device("meta"):
        trunk = timm.create_model(
            library.model,
            num_classes=shape.embed_dim if library.projects else 0,
            global_pool=library.pool,
            img_size=shape.image_size,
            patch_size=shape.patch_size,
            embed_dim=shape.width,
            depth=shape.layers,
            num_heads=shape.heads,
        )
    require_pre_norm(trunk, library.model)
    return trunk.eval()


def build(shape: Architecture, state: Mapping[str, Tensor]) -> tuple[nn.Module, dict[str, Tensor]]:
    """Build a timm tower and convert weights to its parameter names and sizes.

    Args:
        shape: a shape with a library.
        state: weights under timm's names, open_clip's, or those of the authors of PE and DINOv3.

    Returns:
        The model on the meta device, and the converted weights.

    Raises:
        ModelError: timm does not know it, or it cannot hold experts.
    """
    from timm.models import eva, vision_transformer

    trunk = trunk_of(shape)
    bare = {name.removeprefix("trunk."): tensor for name, tensor in state.items()}
    known = (eva if isinstance(trunk, eva.Eva) else vision_transformer).checkpoint_filter_fn(bare, trunk)
    if trunk.num_classes == 0:  # the tower has no classifier
        known = {name: tensor for name, tensor in known.items() if not name.startswith("head.")}
    return trunk, known


def allocated(trunk: Any) -> Any:
    """Move a model from the meta device to the CPU, with uninitialized parameters and initialized buffers."""
    trunk = trunk.to_empty(device="cpu")
    for module in trunk.modules():
        if hasattr(module, "init_non_persistent_buffers"):
            module.init_non_persistent_buffers()
    return trunk


def download(name: str, tag: str) -> dict[str, Tensor]:
    """Download the image tower's weights of a tag.

    Returns:
        Tensors by the library's parameter names, in its shapes and dtypes.

    Raises:
        ModelError: open_clip or timm does not know the tag, or cannot download it.
    """
    import open_clip
    import timm

    try:
        if open_clip.get_model_config(name) is None:
            return dict(timm.create_model(f"{name}.{tag}", pretrained=True, num_classes=0).state_dict())
        return dict(open_clip.create_model(name, pretrained=tag).visual.state_dict())
    except (RuntimeError, OSError, ValueError) as reason:
        raise ModelError(f"the weights {tag!r} of {name!r} are not available: {reason}; name a local file") from reason


def views_of(name: str, tag: str | None, shape: Architecture) -> Preprocess:
    """Return the preprocessing that a tower was trained with: size, mean and std.

    Args:
        name: the model's name in open_clip or timm.
        tag: the tag of its weights; None for a local file.
        shape: the tower's shape.

    Returns:
        The spec of the resized view; `crop` and `texture` have the same size.

    Raises:
        ModelError: a local file may be of several kinds of weights, the tag needs another activation, or timm does not
            know the tag.
    """
    configs = _pretrained_configs(name, tag)
    known = {(tuple(one["mean"]), tuple(one["std"])) for one in configs if one}
    if len(known) > 1:
        raise ModelError(
            f"weights of {name!r} are known with the means {sorted(mean for mean, _ in known)}, and a file does not "
            f"say which; name the tag"
        )
    if tag and shape.library is None and configs[0].get("quick_gelu", False) != shape.quick_gelu:
        other = name.removesuffix("-quickgelu") if shape.quick_gelu else f"{name}-quickgelu"
        raise ModelError(f"the weights {tag!r} were trained with another activation than {name!r}; name {other!r}")
    seen = dict(zip(("mean", "std"), known.pop(), strict=True)) if known else {}
    return Preprocess(mode="resize", size=shape.image_size, short_side=shape.image_size, **seen)


def licence_of(name: str, tag: str | None) -> str:
    """Return the licence of weights according to timm, or all that a local file may have; open_clip lists none.

    Raises:
        ModelError: timm does not know the tag.
    """
    licences = sorted({str(one["license"]) for one in _pretrained_configs(name, tag) if one.get("license")})
    return " or ".join(licences) or f"of the publisher of {name}"


def _pretrained_configs(name: str, tag: str | None) -> list[dict[str, Any]]:
    """Return the pretrained configurations of a tag, or of all weights that a local file may hold.

    Raises:
        ModelError: timm does not know the tag.
    """
    import open_clip
    import timm

    if open_clip.get_model_config(name) is not None:
        tags = [tag] if tag else open_clip.list_pretrained_tags_by_model(name)
        return [open_clip.get_pretrained_cfg(name, one) for one in tags]
    if tag and not timm.is_model_pretrained(f"{name}.{tag}"):
        raise ModelError(f"timm has no weights {tag!r} of {name!r}; see timm.list_pretrained(), or name a local file")
    kinds = [f"{name}.{tag}"] if tag else timm.list_pretrained(f"{name}.*") or [name]
    return [vars(timm.get_pretrained_cfg(kind)) for kind in kinds]
