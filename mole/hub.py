"""What open_clip is asked: a model's shape by its name, and weights by their tag.

The imports stand inside on purpose: open_clip imports torchvision, and that torch's compiler, three seconds of a core
in every process that scores. A checkpoint on a tower that OpenAI published, with its file, asks nothing.
"""

from typing import Any

from torch import Tensor

from mole.config import Architecture
from mole.errors import ModelError

PUBLISHED = {
    f"ViT-{size}-quickgelu": Architecture(**shape, heads=shape["width"] // 64, quick_gelu=True)
    for size, shape in {
        "B-32": {"image_size": 224, "patch_size": 32, "width": 768, "layers": 12, "embed_dim": 512},
        "B-16": {"image_size": 224, "patch_size": 16, "width": 768, "layers": 12, "embed_dim": 512},
        "L-14": {"image_size": 224, "patch_size": 14, "width": 1024, "layers": 24, "embed_dim": 768},
        "L-14-336": {"image_size": 336, "patch_size": 14, "width": 1024, "layers": 24, "embed_dim": 768},
    }.items()
}
"""The towers that OpenAI published, by open_clip's names, as open_clip describes them."""


def architecture_of(name: str) -> Architecture:
    """Tell the shape of a tower by open_clip's name, such as `ViT-B-16-quickgelu`.

    Raises:
        ModelError: open_clip does not know it, or it is no plain ViT.
    """
    return PUBLISHED.get(name) or look_up(name)


def look_up(name: str) -> Architecture:
    """Let open_clip describe an architecture.

    Raises:
        ModelError: open_clip does not know it, or it is no plain ViT.
    """
    import open_clip

    config: dict[str, Any] | None = open_clip.get_model_config(name)
    if config is None:
        raise ModelError(f"open_clip knows no model {name!r}; see open_clip.list_models()")
    vision = config["vision_cfg"]
    odd = set(vision) - {"image_size", "patch_size", "width", "layers", "head_width", "mlp_ratio"}
    if odd or not isinstance(vision.get("layers"), int) or vision.get("mlp_ratio", 4.0) != 4.0:
        raise ModelError(f"the image tower of {name!r} is no plain ViT ({sorted(odd)}); choose a ViT-B or ViT-L")
    return Architecture(
        image_size=vision["image_size"],
        patch_size=vision["patch_size"],
        width=vision["width"],
        layers=vision["layers"],
        heads=vision["width"] // vision.get("head_width", 64),
        embed_dim=config["embed_dim"],
        quick_gelu=config.get("quick_gelu", False),
    )


def download(name: str, tag: str) -> dict[str, Tensor]:
    """Fetch the image tower's weights that go by a tag.

    Raises:
        ModelError: open_clip does not know the tag, or cannot reach it.
    """
    import open_clip

    try:
        model = open_clip.create_model(name, pretrained=tag)
    except (RuntimeError, OSError, ValueError) as reason:
        raise ModelError(f"open_clip has no weights {tag!r} of {name!r} here: {reason}; name a local file") from reason
    return dict(model.visual.state_dict())
