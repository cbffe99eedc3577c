"""A checkpoint comes back as it was, is refused where it was tampered with, and is named by what it holds."""

import json
import os
import pickle
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mole.checkpoint import (
    adopt_linear_head,
    load_adapters,
    load_checkpoint,
    read_adapters,
    save_checkpoint,
    sha256_of,
)
from mole.config import CONFIG, Backbone, DetectorConfig, describe
from mole.errors import ModelError
from mole.model.detector import MoLE, learned, stored
from mole.model.head import CENTRE_DTYPE
from mole.tower.backbone import assemble, read_weights
from mole.tower.hub import architecture_of
from mole.tower.vit import Tower
from mole.views.preprocess import Preprocess
from tests.tiny import SHAPE, tiny_checkpoint, tiny_weights


def edit(folder: Path, *path: str, value: object) -> None:
    """Change one setting in a checkpoint's file."""
    config = json.loads((folder / CONFIG).read_text())
    part = config
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = value
    (folder / CONFIG).write_text(json.dumps(config))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny checkpoint."""
    return tiny_checkpoint(tmp_path / "tiny")


def test_a_checkpoint_comes_back_with_every_weight(folder: Path, tmp_path: Path) -> None:
    first = load_checkpoint(folder)
    save_checkpoint(tmp_path / "again", first.detector, first.description.config)
    (tmp_path / "again" / "tower.safetensors").write_bytes((folder / "tower.safetensors").read_bytes())
    again = load_checkpoint(tmp_path / "again")
    assert again.description.digest == first.description.digest
    for name, parameter in learned(first.detector).items():
        assert torch.equal(parameter, learned(again.detector)[name])
    assert not again.detector.training


READING = DetectorConfig(blocks=(1,), reads=(2, 3), head="kernel", components=8, centres=30)


def test_a_head_comes_back_with_what_it_was_fitted_by_and_without_it_is_refused_by_name(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "reading", detector=READING)
    loaded = load_checkpoint(folder).detector
    state = load_file(folder / "adapters.safetensors")
    assert state.keys() == stored(loaded).keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in stored(loaded).items())
    assert state["head.1.centre_CP"].any() and state["head.0.mean_F"].any()
    del state["head.1.centre_CP"], state["head.0.scale_F"]
    save_file(state, folder / "adapters.safetensors")
    with pytest.raises(ModelError, match=r"missing \['head.0.scale_F', 'head.1.centre_CP'\]"):
        load_checkpoint(folder)


def test_centres_keep_the_dtype_and_the_numbers_that_a_checkpoint_has(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "reading", detector=READING)
    state = load_file(folder / "adapters.safetensors")
    assert state["head.1.centre_CP"].dtype == CENTRE_DTYPE
    earlier = torch.randn(30, 8).half()
    save_file(state | {"head.1.centre_CP": earlier}, folder / "adapters.safetensors")
    assert torch.equal(stored(load_checkpoint(folder).detector)["head.1.centre_CP"], earlier)


def test_reads_that_the_tower_has_not_are_refused_when_a_checkpoint_is_loaded(tmp_path: Path) -> None:
    folder = tiny_checkpoint(tmp_path / "reading", detector=READING)
    edit(folder, "detector", "reads", value=[2, 7])
    with pytest.raises(ModelError, match=r"reads must lie in \[1, 4\], got 7"):
        load_checkpoint(folder)


def test_the_digest_is_the_same_without_loading_and_changes_with_what_changes_a_verdict(folder: Path) -> None:
    digest = describe(folder).digest
    assert digest == load_checkpoint(folder).description.digest and len(digest) == 32
    edit(folder, "calibration", "temperature", value=2.0)
    warmer = describe(folder).digest
    state = load_file(folder / "adapters.safetensors")
    state["head.0.bias"] += 1
    save_file(state, folder / "adapters.safetensors")
    assert len({digest, warmer, describe(folder).digest}) == 3


def test_a_reformatted_file_is_the_same_checkpoint(folder: Path) -> None:
    digest = describe(folder).digest
    (folder / CONFIG).write_text(json.dumps(json.loads((folder / CONFIG).read_text()), indent=7))
    assert describe(folder).digest == digest


def test_another_preprocessing_than_the_fingerprints_is_refused(folder: Path) -> None:
    edit(folder, "preprocess", "mode", value="resize")
    with pytest.raises(ModelError, match=Preprocess().fingerprint):
        describe(folder)


def test_another_tower_is_refused_by_both_digests(folder: Path) -> None:
    wanted = json.loads((folder / CONFIG).read_text())["backbone"]["file_sha256"]
    save_file(tiny_weights(seed=5), folder / "tower.safetensors")
    with pytest.raises(ModelError, match=wanted):
        load_checkpoint(folder)


@pytest.mark.parametrize("name", ["config.json", "adapters.safetensors", "tower.safetensors"])
def test_a_missing_file_is_refused_by_its_name(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelError, match=name):
        load_checkpoint(folder)


def test_a_damaged_adapter_file_is_refused(folder: Path) -> None:
    (folder / "adapters.safetensors").write_bytes(b"damaged")
    with pytest.raises(ModelError, match=r"adapters.safetensors is damaged"):
        load_checkpoint(folder)


def test_adapters_of_another_shape_are_refused_with_their_keys(folder: Path) -> None:
    state = load_file(folder / "adapters.safetensors")
    state["extra"] = state.pop("head.0.bias")
    save_file(state, folder / "adapters.safetensors")
    with pytest.raises(ModelError, match=r"missing \['head.0.bias'\], unexpected \['extra'\]"):
        load_checkpoint(folder)


def test_an_unknown_setting_is_refused(folder: Path) -> None:
    edit(folder, "detector", "experts", value=9)
    with pytest.raises(ModelError, match="experts"):
        describe(folder)


def test_a_detector_is_not_saved_under_other_settings(folder: Path, tmp_path: Path) -> None:
    loaded = load_checkpoint(folder)
    other = loaded.description.config.model_copy(
        update={"detector": loaded.detector.config.model_copy(update={"top_k": 1})}
    )
    with pytest.raises(ModelError, match="top_k=1"):
        save_checkpoint(tmp_path / "x", loaded.detector, other)


def test_a_published_head_becomes_a_checkpoint_without_experts(folder: Path, tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(1, 32), "bias": torch.zeros(1)}, tmp_path / "fc.pth")
    backbone = describe(folder).config.backbone
    adopted = tmp_path / "adopted"
    adopted.mkdir()
    (adopted / "tower.safetensors").write_bytes((folder / "tower.safetensors").read_bytes())
    adopt_linear_head(tmp_path / "fc.pth", adopted, backbone)
    detector = load_checkpoint(adopted).detector
    view_B3SS = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        plain = MoLE(assemble(SHAPE, tiny_weights(), "tiny"), describe(adopted).config.detector)
        feature_BF, _ = plain.feature(plain.trunk(view_B3SS))
        torch.testing.assert_close(detector(view_B3SS).logit_B, feature_BF.sum(dim=1))


def test_universal_fake_detects_head_becomes_a_checkpoint_of_its_tower(shared: Path, tmp_path: Path) -> None:
    file = shared / "weights" / "univfd_fc_weights.pth"
    described = adopt_linear_head(file, tmp_path)
    assert (described.config.backbone.name, described.preprocess.mode) == ("ViT-L-14-quickgelu", "crop")
    detector = MoLE(Tower(architecture_of("ViT-L-14-quickgelu")), described.config.detector)
    load_adapters(detector, load_file(tmp_path / "adapters.safetensors"), "adopted")
    published = torch.load(file, map_location="cpu", weights_only=True)
    assert set(learned(detector)) == {"head.0.weight", "head.0.bias"}
    assert torch.equal(learned(detector)["head.0.weight"], published["weight"])


def test_a_head_of_another_tower_is_refused(shared: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"\[1, 768\].*ViT-B-16 is .*\[1, 512\]"):
        adopt_linear_head(shared / "weights" / "univfd_fc_weights.pth", tmp_path, Backbone(name="ViT-B-16"))


def test_the_embedded_model_is_whole(root: Path) -> None:
    loaded = load_checkpoint(root / "mole" / "embedded")
    assert loaded.description.config.backbone.name == "ViT-B-16-quickgelu"
    assert loaded.calibration.real_below <= loaded.calibration.generated_above


def resave(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Change the trained weights of a checkpoint."""
    state = load_file(folder / "adapters.safetensors")
    change(state)
    save_file(state, folder / "adapters.safetensors")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_no_numbers_are_refused_by_name(folder: Path, value: float) -> None:
    def spoil(state: dict[str, torch.Tensor]) -> None:
        state["head.0.weight"].view(-1)[3] = value

    resave(folder, spoil)
    with pytest.raises(ModelError, match=r"adapters.safetensors holds values that are not finite numbers: \['head.0.w"):
        load_checkpoint(folder)


def test_a_tower_that_is_no_numbers_is_refused_though_its_digest_is_that_of_the_checkpoint(folder: Path) -> None:
    weights = tiny_weights()
    weights["ln_pre.bias"][0] = float("nan")
    save_file(weights, folder / "tower.safetensors")
    edit(folder, "backbone", "file_sha256", value=sha256_of(folder / "tower.safetensors"))
    with pytest.raises(
        ModelError, match=r"tower.safetensors holds values that are not finite numbers: \['ln_pre.bias'"
    ):
        load_checkpoint(folder)


def test_large_values_are_numbers(folder: Path) -> None:
    resave(folder, lambda state: state["head.0.weight"].fill_(3e38))
    assert load_checkpoint(folder).detector.head.linear[0].weight.isfinite().all()


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("calibration", "bias"), float("nan"), "finite"),
        (("calibration", "generated_above"), float("inf"), "finite"),
        (("preprocess", "mean"), [float("nan"), 0.5, 0.5], "finite"),
        (("preprocess", "std"), [0.0, 0.5, 0.5], "greater than 0"),
        (("preprocess", "size"), 1_000_000, "less than or equal to 32768"),
        (("preprocess", "size"), 30_000, "1 views of 30000 pixels a side have 900,000,000, over 67,108,864"),
        (("detector", "shared_rank"), 10**12, "less than or equal to 4096"),
        (("detector", "expert_ranks"), [10**12], "less than or equal to 4096"),
        (("detector", "expert_ranks"), [1] * 1_000, "at most 256 items"),
        (("detector", "head_depth"), 10**9, "less than or equal to 64"),
        (("detector", "centres"), 10**12, "less than or equal to 16777216"),
        (("backbone", "architecture", "layers"), 10**9, "less than or equal to 4096"),
        (("backbone", "architecture", "mlp_ratio"), 1e9, "less than or equal to 64"),
        (("backbone", "architecture", "width"), 1 << 17, "parameters, at most 20,000,000,000 are loaded"),
        (("backbone", "file"), "../../etc/tower.safetensors", "must lie in the checkpoint's folder"),
        (("backbone", "file"), "/etc/tower.safetensors", "must lie in the checkpoint's folder"),
        (("format",), "mole-2", "has the format 'mole-2', this version reads 'mole-1'"),
    ],
)
def test_settings_of_absurd_size_or_that_lead_elsewhere_are_refused_before_a_weight_is_read(
    folder: Path, path: tuple[str, ...], value: object, words: str
) -> None:
    edit(folder, *path, value=value)
    (folder / "adapters.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match=words):
        describe(folder)


def test_settings_that_promise_more_than_the_file_holds_take_no_memory_for_it(folder: Path) -> None:
    edit(folder, "detector", "shared_rank", value=4096)
    edit(folder, "detector", "expert_ranks", value=[4096] * 256)
    edit(folder, "detector", "head_width", value=1 << 17)
    edit(folder, "detector", "head_depth", value=64)  # 4 TB
    with pytest.raises(ModelError, match=r"adapters.safetensors does not fit the model"):
        load_checkpoint(folder)


def test_a_file_of_settings_is_read_up_to_a_bound(folder: Path) -> None:
    with (folder / CONFIG).open("r+b") as file:
        file.truncate(17 << 20)
    with pytest.raises(ModelError, match=r"config.json has 17,825,792 bytes, at most 16,777,216 are read"):
        describe(folder)


class Marking:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("name", ["adapters.safetensors", "tower.safetensors", "tower.pt", "head.pth"])
def test_a_pickle_in_disguise_is_refused_and_nothing_runs(folder: Path, name: str, protocol: int) -> None:
    mark, harmful = folder / "mark", folder / name
    harmful.write_bytes(pickle.dumps({"weight": Marking(mark)}, protocol=protocol))
    if name.startswith("tower"):
        edit(folder, "backbone", "file", value=name)
        edit(folder, "backbone", "file_sha256", value=sha256_of(harmful))
    head = name == "head.pth"
    with pytest.raises(ModelError, match="is damaged|cannot read weights|more than tensors"):
        _ = adopt_linear_head(harmful, folder / "adopted") if head else load_checkpoint(folder)
    assert not mark.exists()
    pickle.loads(harmful.read_bytes())
    assert mark.exists(), "the pickle itself is harmful"


@pytest.mark.parametrize(
    "content",
    [torch.ones(3), [torch.ones(3)], {"weight": 1}, {1: torch.ones(3)}, {"state_dict": [1]}, {"weight": {"a": 1}}],
)
def test_a_pickle_of_anything_but_named_tensors_is_refused(folder: Path, content: object) -> None:
    torch.save(content, folder / "tower.pt")
    with pytest.raises(ModelError, match="something else than a dictionary of tensors"):
        read_weights(folder / "tower.pt")
    with pytest.raises(ModelError, match="something else than a dictionary of tensors"):
        adopt_linear_head(folder / "tower.pt", folder / "adopted")


def test_cut_and_spoilt_files_are_refused_and_never_anything_else(folder: Path) -> None:
    torch.save(tiny_weights(), folder / "tower.pt")
    chance = random.Random(7)
    for name in ("adapters.safetensors", "tower.safetensors", "tower.pt"):
        whole = (folder / name).read_bytes()
        for _ in range(12):
            spoilt = bytearray(whole[: chance.randrange(len(whole))] if chance.random() < 0.5 else whole)
            for _ in range(min(len(spoilt), 8)):
                spoilt[chance.randrange(min(len(spoilt), 2000))] = chance.randrange(256)
            (folder / name).write_bytes(spoilt)
            with suppress(ModelError):
                read_adapters(folder) if name.startswith("adapters") else read_weights(folder / name)
