"""Laws of a checkpoint's settings: what it reads is refused where it means nothing, and old ones say what they said."""

from pathlib import Path

import pytest

from mole.architecture import Architecture, Library
from mole.config import DetectorConfig, describe


def test_the_embedded_checkpoint_is_named_as_it_was_before_blocks_could_be_read(root: Path) -> None:
    description = describe(root / "mole" / "embedded")
    if not description.config.detector.reads:
        assert description.digest == "ca66e44b2cd96de6f6c5b137fc526c6e"


def test_what_the_first_checkpoints_could_not_say_is_written_only_where_it_differs() -> None:
    first = {"adapted_blocks", "shared_rank", "expert_ranks", "top_k", "scale", "head_depth", "aux_coef"}
    assert DetectorConfig().model_dump().keys() == first
    assert DetectorConfig(pooling=("class",), centres=2048).model_dump().keys() == first
    reading = DetectorConfig(blocks=(), reads=(6, 8), head="kernel", centres=10)
    assert reading.model_dump().keys() == first | {"blocks", "reads", "head", "centres"}
    assert DetectorConfig.model_validate_json(reading.model_dump_json()) == reading


def test_a_shape_says_how_timm_builds_it_or_what_its_mlp_is_only_where_that_is_not_clips() -> None:
    plain = Architecture(patch_size=16, width=64, layers=2, heads=4, embed_dim=32)
    first = {"image_size", "patch_size", "width", "layers", "heads", "embed_dim", "quick_gelu"}
    assert plain.model_dump().keys() == first
    library = Library(model="vit_base_patch16_siglip_224", pool="map", projects=False)
    other = plain.model_copy(update={"mlp_ratio": 4.9231, "library": library})
    assert other.model_dump().keys() == first | {"mlp_ratio", "library"}
    assert Architecture.model_validate_json(other.model_dump_json()) == other


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"reads": (8, 6)}, r"reads must ascend, each number once, got \[8, 6\]"),
        ({"blocks": (5, 5)}, r"blocks must ascend, each number once, got \[5, 5\]"),
        ({"blocks": (3, 8), "reads": (4, 8)}, r"blocks must lie in \[0, 7\], below the last read, got 8"),
        ({"reads": (0,)}, "reads"),
        ({"reads": (8,), "pooling": ()}, r"pooling must name at least one of class, mean and deviation"),
        ({"reads": (8,), "pooling": ("mean", "mean")}, "pooling must name"),
        ({"pooling": ("mean",)}, "needs reads, got none"),
        ({"head": "kernel", "head_depth": 2}, "head_depth of a kernel head must be 1, got 2"),
        ({"top_k": 4}, r"top_k must lie in \[1, 3\], got 4"),
    ],
)
def test_a_shape_that_means_nothing_is_refused_with_its_value(values: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        DetectorConfig.model_validate(values)


def test_experts_stand_in_the_last_blocks_that_run_or_where_they_are_named() -> None:
    assert list(DetectorConfig().adapted(12)) == [9, 10, 11]
    assert list(DetectorConfig(blocks=(4, 6)).adapted(12)) == [4, 6]
    for plain in (DetectorConfig(blocks=()), DetectorConfig(shared_rank=0, expert_ranks=())):
        assert not plain.adapts and list(plain.adapted(12)) == []
