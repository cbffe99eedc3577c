"""What open_clip is asked: a model's shape by its name, and weights by their tag.

The imports stand inside on purpose: open_clip imports torchvision, and that torch's compiler, three seconds of a core
in every process that scores. A checkpoint that brings its tower's shape and file, as the shipped one, asks nothing.
"""

from typing import Any

from torch import Tensor

from mole.config import Architecture
from mole.errors import ModelError


def architecture_of(name: str) -> Architecture:
    """Look an architecture up by open_clip's name, such as `ViT-B-16-quickgelu`.

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
