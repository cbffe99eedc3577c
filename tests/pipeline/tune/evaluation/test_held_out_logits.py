"""Laws of held-out logits."""

import numpy as np
import pyarrow as pa
import pytest

from mole.errors import SettingsError
from pipeline.tune.data.samples import Sample
from pipeline.tune.evaluation.held_out_logits import HELD_OUT, MIN_IMAGES, HeldOutLogits, held_out_rows
from tests.heldout import PARTS, Part, heldout


def changed(table: pa.Table, row: int, **facts: object) -> pa.Table:
    """Change some columns of one row."""
    listed = table.to_pylist()
    listed[row] |= facts
    return pa.Table.from_pylist(listed, HELD_OUT)


def test_samples_become_rows_with_all_that_is_said_of_them_and_a_name_for_each_picture() -> None:
    photograph = Sample("a.jpg", 0, "phones", "a", collection="mobile", content="photo")
    made = [Sample("a.jpg", 1, "phones", "a", collection="mobile", content="photo", artefact="reconstruction")]
    cells = [Sample("b.png", 1, "gan", cell=cell) for cell in (0, 1)] + [Sample("c.tar", 1, "gan", offset=512)]
    logit_N = np.array([-1, 1, np.nan, 2, 3], np.float32)
    table = held_out_rows([photograph, *made, *cells], logit_N, method="mole", fold=3, delivery="aligned")
    assert table.schema == HELD_OUT and table["logit"].null_count == 1
    assert table["image"].to_pylist() == ["a.jpg", "a.jpg#reconstruction", "b.png#0", "b.png#1", "c.tar#512"]
    assert table["collection"].to_pylist() == ["mobile", "mobile", "gan", "gan", "gan"]
    assert set(table["fold"].to_pylist()) == {3} and table["artefact"].to_pylist()[:2] == ["", "reconstruction"]


def test_an_image_is_one_row_for_all_perturbations_and_other_methods_are_left_out() -> None:
    held = HeldOutLogits.of(heldout(methods={"linear": 0, "mole": 1}), "mole")
    assert len(held.facts["image"]) == sum(part.images for part in PARTS)
    assert list(held.main_deliveries) == ["shipped", "aligned", "native"] and held.folds == [0, 1, 2]
    assert held.unread == 0


def test_what_was_made_of_a_photograph_stands_for_nothing_but_its_pair() -> None:
    held = HeldOutLogits.of(heldout(), "mole")
    assert not (held.of_class(1, "shipped") & (held.facts["artefact"] != "")).any()


def test_a_picture_that_was_not_read_is_counted_and_belongs_to_no_class() -> None:
    held = HeldOutLogits.of(changed(heldout(), 0, logit=None), "mole")
    assert held.unread == 1
    assert held.of_class(0, "shipped").sum() == HeldOutLogits.of(heldout(), "mole").of_class(0, "shipped").sum() - 1


def test_small_generators_and_collections_are_pooled_and_every_image_counts_once() -> None:
    held = HeldOutLogits.of(heldout(), "mole")
    fakes, reals = (sorted(set(held.name_N[held.of_class(label, "shipped")])) for label in (1, 0))
    assert fakes == ["flow", "gan", "poor", "style", f"tiny, 2 generators of fewer than {MIN_IMAGES} images"]
    assert reals == [f"2 collections of fewer than {MIN_IMAGES} images", "cameras", "paintings", "phones", "web"]


def test_a_generator_of_two_collections_is_evaluated_in_each() -> None:
    held = HeldOutLogits.of(heldout(*PARTS, Part(1, 1, "gan", 0, collection="elsewhere")), "mole")
    assert {"gan (gan)", "gan (elsewhere)"} <= set(held.name_N) and "gan" not in held.name_N


def test_one_generator_of_few_images_keeps_its_name() -> None:
    alone = [part for part in PARTS if part.source != "tiny-b"]
    assert "tiny-a" in HeldOutLogits.of(heldout(*alone), "mole").name_N


@pytest.mark.parametrize(
    ("part", "told"),
    [
        (Part(1, 1, "gan-2", 0, collection="gan"), "collection 'gan' must lie in one fold, but lies in 0 and 1"),
        (Part(3, 0, "other", 0), "fold 3 must hold out images of both classes"),
    ],
)
def test_folds_that_would_bias_the_metrics_are_refused_by_name(part: Part, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        HeldOutLogits.of(heldout(*PARTS, part), "mole")


def test_one_fold_is_refused_for_no_other_sets_its_thresholds() -> None:
    with pytest.raises(SettingsError, match="at least 2 are needed, got \\[0\\]"):
        HeldOutLogits.of(heldout(Part(0, 0, "a", 0), Part(0, 1, "b", 0)), "mole")


def test_an_image_that_is_twice_or_two_things_at_once_is_refused_by_name() -> None:
    table = heldout(deliveries={"shipped": 0})
    with pytest.raises(SettingsError, match="'phones/phones/0/0' of 'mole' occurs twice under 'shipped'"):
        HeldOutLogits.of(pa.concat_tables([table, table[:1]]), "mole")
    with pytest.raises(SettingsError, match="'phones/phones/0/0' of 'mole' has contradictory rows"):
        HeldOutLogits.of(pa.concat_tables([table, changed(table, 0, content="art", delivery="aligned")[:1]]), "mole")


def test_logits_as_shipped_are_demanded() -> None:
    with pytest.raises(SettingsError, match=r"no logits for 'shipped'; it has \['aligned'\]"):
        HeldOutLogits.of(heldout(deliveries={"aligned": 0}), "mole")


def test_a_fold_without_logits_under_a_main_perturbation_is_refused() -> None:
    lost = [row for row in heldout().to_pylist() if (row["fold"], row["delivery"]) != (1, "native")]
    with pytest.raises(
        SettingsError, match="fold 1 must hold out images of both classes that were scored under shipped, al"
    ):
        HeldOutLogits.of(pa.Table.from_pylist(lost, HELD_OUT), "mole")


def test_methods_have_the_same_images_if_images_folds_and_main_perturbations_agree() -> None:
    table = heldout(methods={"linear": 0, "mole": 1})
    held = HeldOutLogits.of(table, "mole")
    assert held.has_same_images(HeldOutLogits.of(table, "linear")) and not held.has_same_images(
        HeldOutLogits.of(heldout(*PARTS[:-1]), "mole")
    )
    assert not held.has_same_images(HeldOutLogits.of(changed(heldout(), 0, logit=None), "mole"))
    assert not held.has_same_images(HeldOutLogits.of(heldout(deliveries={"shipped": 0.0}), "mole"))
    assert held.has_same_images(
        HeldOutLogits.of(heldout(deliveries={"shipped": 0, "aligned": 0, "native": 0, "blur-1": 0}), "mole")
    )
