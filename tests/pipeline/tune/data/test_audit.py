"""Laws of the audit."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from mole.errors import SettingsError
from pipeline.tune.data.audit import Audit, audit, verdict_of
from pipeline.tune.data.samples import Sample, to_table
from pipeline.tune.data.survey import survey_rows
from tests.pictures import faulty, picture


def written(folder: Path, name: str, data: bytes, *, label: int, source: str = "x", group: str = "") -> Sample:
    """Write one image as a sample."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
    return Sample(str(folder / name), label, source, group)


def audited(samples: list[Sample], splits: tuple[object, ...] = ()) -> Audit:
    """Survey in this process and audit."""
    return audit(
        samples, survey_rows(to_table(samples).append_column("place", pa.array(range(len(samples))))), splits=splits
    )


def noise(seed: int, *, form: str = "jpeg", **how: object) -> bytes:
    """Encode a picture that is like no other."""
    held = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    Image.fromarray(pixels).resize((72, 72), Image.Resampling.BICUBIC).save(held, form, **how)
    return held.getvalue()


def alike(folder: Path, each: int, *, fake: str = "jpeg") -> list[Sample]:
    """Write two classes that differ in nothing, or in their format."""
    reals = [written(folder, f"r{seed}", noise(seed), label=0, source="photos") for seed in range(each)]
    fakes = [written(folder, f"f{seed}", noise(1000 + seed, form=fake), label=1, source="flux") for seed in range(each)]
    return reals + fakes


def test_classes_with_the_same_file_properties_are_fair(tmp_path: Path) -> None:
    found = audited(alike(tmp_path, 30))
    verdict = verdict_of(found)
    assert not verdict.leaks
    assert found.auc is not None and found.auc <= 0.65
    assert "bound 0.65" in verdict.told


def test_a_format_of_one_class_is_not_and_the_column_is_named(tmp_path: Path) -> None:
    verdict = verdict_of(audited(alike(tmp_path, 30, fake="png")))
    assert verdict.leaks
    assert "AUC of 1.000" in verdict.told and "format 1.00" in verdict.told


def test_the_bound_is_the_callers(tmp_path: Path) -> None:
    found = audited(alike(tmp_path, 30, fake="png"))
    assert not verdict_of(found, bound=1.0).leaks


def test_too_few_images_are_not_evaluated(tmp_path: Path) -> None:
    verdict = verdict_of(audited(alike(tmp_path, 3, fake="png")))
    assert not verdict.leaks
    assert "not measured: fewer than 5 groups" in verdict.told


def test_few_images_are_said_to_show_little(tmp_path: Path) -> None:
    assert (
        "this is unreliable with only 10 images of a class" in verdict_of(audited(alike(tmp_path, 10)), bound=1.0).told
    )
    assert "too few" not in verdict_of(audited(alike(tmp_path / "more", 30)), bound=1.0).told


def test_each_class_and_each_source_is_described(tmp_path: Path) -> None:
    found = audited(alike(tmp_path, 6, fake="webp"))
    told = [(each.label, each.source, each.images) for each in found.distributions]
    assert told == [("real", None, 6), ("fake", None, 6), ("real", "photos", 6), ("fake", "flux", 6)]
    assert found.distributions[0].shares["format"] == {"jpeg": 1.0}
    assert found.distributions[0].quantiles["quality"] == pytest.approx((75, 75, 75))
    assert found.distributions[1].shares["format"] == {"webp": 1.0}
    assert "quality" not in found.distributions[1].quantiles


def test_faults_and_disagreeing_labels_are_counted_and_named(tmp_path: Path) -> None:
    broken = [
        written(tmp_path, f"b-{name}", data, label=0)
        for name, data in faulty().items()
        if name not in {"a.jpg", "z.webp"}
    ]
    torn = [written(tmp_path, f"same{label}", picture(77), label=label) for label in (0, 1)]
    found = audited([*alike(tmp_path, 6), *broken, *torn])
    assert found.images == 20
    assert found.excluded == {
        "truncated": 1,
        "empty": 1,
        "not_an_image": 2,
        "too_small": 1,
        "unsupported": 1,
        "identical bytes with both labels": 2,
    }
    assert ("identical bytes with both labels", torn[1].uri, "here fake") in found.named


def test_copies_across_classes_and_splits_are_found(tmp_path: Path) -> None:
    samples = alike(tmp_path, 6)
    near = [written(tmp_path, f"n{label}", noise(0, quality=90 - label), label=label) for label in (0, 1)]
    copies = audited([*samples, *near], splits=tuple(["train"] * 12 + ["test"] * 2)).copies
    assert (copies.groups, copies.samples, copies.across_classes, copies.across_splits) == (1, 3, 1, 1)
    assert samples[0].uri in copies.named[0]


def test_a_declared_pair_is_no_copy(tmp_path: Path) -> None:
    pair = [written(tmp_path, f"p{label}", noise(5, quality=90 - label), label=label, group="7") for label in (0, 1)]
    assert audited([*alike(tmp_path, 5), *pair]).copies.groups == 0


def test_a_class_without_a_sound_image_is_refused(tmp_path: Path) -> None:
    samples = [written(tmp_path, "a", picture(1), label=0), written(tmp_path, "b", b"<html>", label=1)]
    with pytest.raises(SettingsError, match="{'real': 1} are left: 1 left out \\(not_an_image\\)"):
        audited(samples)


def test_an_audit_is_the_same_after_a_journey_as_json(tmp_path: Path) -> None:
    found = audited(alike(tmp_path, 6))
    assert Audit.model_validate_json(found.model_dump_json()) == found
