"""Held-out logits: scores of images by detectors trained without their collections, and the checks of such a table.

Legend: N images of one method.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mole.errors import SettingsError
from mole.measuring.calibration import FloatArray
from pipeline.tune.data.samples import Sample
from pipeline.tune.evaluation.perturbation import ALIGNED, NATIVE, ORIGINAL

Mask = NDArray[np.bool_]
MIN_IMAGES = 10
"""Images that a generator or a collection of real images needs to be evaluated alone; smaller ones are pooled."""
MAIN_PERTURBATIONS = (ORIGINAL, ALIGNED, NATIVE)
"""Perturbations under which thresholds must hold and all metrics are reported, as far as they are in the table."""
FACTS = {
    "image": pa.string(),
    "fold": pa.int16(),
    "label": pa.int8(),
    "source": pa.string(),
    "collection": pa.string(),
    "content": pa.string(),
    "group": pa.string(),
    "artefact": pa.string(),
}
HELD_OUT = pa.schema({"method": pa.string(), **FACTS, "delivery": pa.string(), "logit": pa.float32()})
"""A picture under one perturbation (`delivery`), scored by the detector of one method that was trained without `fold`.
`image` names the picture; `label` is 1 for generated images and for those made from a photograph; `artefact` says what
the photograph of its `group` was passed through, and is empty for all other images; `logit` is null if the picture
could not be read."""


def held_out_rows(samples: Sequence[Sample], logit_N: FloatArray, *, method: str, fold: int, delivery: str) -> pa.Table:
    """Write the logits of one detector for the samples it was trained without.

    Args:
        samples: of the collections that the fold holds out, including images made from their photographs.
        logit_N: of each sample, NaN if it could not be read.
        method: name of the method.
        fold: number of the fold, from 0.
        delivery: name of the perturbation.

    Returns:
        A table of `HELD_OUT`.
    """
    return pa.Table.from_pylist(
        [
            {
                "method": method,
                "image": image_name(sample),
                "fold": fold,
                **{name: getattr(sample, name) for name in FACTS if name not in {"image", "fold"}},
                "delivery": delivery,
                "logit": None if np.isnan(logit) else float(logit),
            }
            for sample, logit in zip(samples, logit_N, strict=True)
        ],
        HELD_OUT,
    )


def image_name(sample: Sample) -> str:
    """Identify a picture by its URI, its offset in a shard, its cell, and what it was passed through."""
    inside = (sample.offset, sample.cell, sample.artefact or None)
    return "#".join([sample.uri, *(str(one) for one in inside if one is not None)])


@dataclass(frozen=True)
class HeldOutLogits:
    """One method's images, in order of name.

    Attributes:
        facts: the columns `FACTS`, each (N,).
        logits: by perturbation, float64 (N,), NaN if a picture could not be read or is missing.
        unread: number of rows without a logit.
    """

    facts: Mapping[str, NDArray[np.generic]]
    logits: Mapping[str, NDArray[np.float64]]
    unread: int

    @classmethod
    def of(cls, table: pa.Table, method: str) -> "HeldOutLogits":
        """Select one method's rows of a table of `HELD_OUT`.

        Raises:
            SettingsError: an image occurs twice under a perturbation or with contradictory columns, a collection lies
                in two folds, a fold lacks a class, there is only one fold, or no image was scored as `shipped`.
        """
        facts: dict[str, tuple[object, ...]] = {}
        logits: dict[str, dict[str, float]] = {}
        unread = 0
        for row in table.filter(pc.equal(table["method"], method)).select([*FACTS, "delivery", "logit"]).to_pylist():
            *known, delivery, logit = row.values()
            image = row["image"]
            if facts.setdefault(image, tuple(known)) != tuple(known):
                raise SettingsError(
                    f"image {image!r} of {method!r} has contradictory rows: {facts[image]} and {tuple(known)}"
                )
            scored = logits.setdefault(delivery, {})
            if image in scored:
                raise SettingsError(f"image {image!r} of {method!r} occurs twice under {delivery!r}")
            scored[image] = np.nan if logit is None else logit
            unread += logit is None
        if ORIGINAL not in logits:
            raise SettingsError(f"method {method!r} has no logits for {ORIGINAL!r}; it has {sorted(logits)}")
        names = sorted(facts)
        columns = zip(*(facts[name] for name in names), strict=True)
        held = cls(
            {fact: np.array(column) for fact, column in zip(FACTS, columns, strict=True)},
            {delivery: np.array([own.get(name, np.nan) for name in names]) for delivery, own in sorted(logits.items())},
            unread,
        )
        held.check()
        return held

    def check(self) -> None:
        """Check that the folds allow unbiased metrics.

        Raises:
            SettingsError: a collection lies in two folds, a fold lacks a class, or there is only one fold.
        """
        fold_N = self.facts["fold"]
        found: dict[str, int] = {}
        for name, fold in zip(self.facts["collection"].tolist(), fold_N.tolist(), strict=True):
            if found.setdefault(name, fold) != fold:
                both = " and ".join(map(str, sorted((found[name], fold))))
                raise SettingsError(
                    f"collection {name!r} must lie in one fold, but lies in {both}; hold it out as a whole"
                )
        if len(self.folds) < 2:
            raise SettingsError(f"thresholds come from the other folds, so at least 2 are needed, got {self.folds}")
        for fold in self.folds:
            if not all((self.standalone(label) & (fold_N == fold)).any() for label in (0, 1)):
                raise SettingsError(
                    f"fold {fold} must hold out images of both classes that were scored under "
                    f"{', '.join(self.main_deliveries)}; move a collection into it"
                )

    @property
    def folds(self) -> list[int]:
        """The numbers of the folds."""
        return sorted(set(self.facts["fold"].tolist()))

    @property
    def main_deliveries(self) -> list[str]:
        """Those of `MAIN_PERTURBATIONS` that are in the table."""
        return [delivery for delivery in MAIN_PERTURBATIONS if delivery in self.logits]

    def standalone(self, label: int) -> Mask:
        """Mark images of a class, without those made from photographs, read under all main perturbations; bool (N,)."""
        return np.asarray(np.all([self.of_class(label, delivery) for delivery in self.main_deliveries], axis=0))

    @cached_property
    def name_N(self) -> NDArray[np.str_]:
        """Name what an image is evaluated in: its generator, its collection, or their pool; str, shape (N,)."""
        label_N, source_N, collection_N = (self.facts[fact].tolist() for fact in ("label", "source", "collection"))
        within: dict[str, set[str]] = {}
        for label, source, collection in zip(label_N, source_N, collection_N, strict=True):
            within.setdefault(source if label else "", set()).add(collection)
        keys = [
            (label, collection, (source if len(within[source]) == 1 else f"{source} ({collection})") if label else "")
            for label, source, collection in zip(label_N, source_N, collection_N, strict=True)
        ]
        whole_N = self.facts["artefact"] == ""
        counts = Counter(key for key, whole in zip(keys, whole_N, strict=True) if whole)
        few = Counter(collection if label else "" for (label, collection, _), own in counts.items() if own < MIN_IMAGES)
        return np.array(
            [
                self._named(key, counts[key] if whole else MIN_IMAGES, few)
                for key, whole in zip(keys, whole_N, strict=True)
            ]
        )

    @staticmethod
    def _named(key: tuple[int, str, str], images: int, few: Mapping[str, int]) -> str:
        """Name a pool of small units after their collection, and any other unit after itself."""
        label, collection, generator = key
        together = few.get(collection if label else "", 0)
        if images >= MIN_IMAGES or together < 2:
            return generator if label else collection
        what = f"{collection}, {together} generators" if label else f"{together} collections"
        return f"{what} of fewer than {MIN_IMAGES} images"

    def of_class(self, label: int, delivery: str, *, fold: int | None = None, content: str = "") -> Mask:
        """Mark images of a class, without those made from photographs, read under a perturbation; bool (N,).

        Args:
            label: 0 real, 1 generated.
            delivery: name of the perturbation.
            fold: the fold that held them out; None for all.
            content: their content; empty for all.
        """
        own_N = (self.facts["label"] == label) & (self.facts["artefact"] == "") & np.isfinite(self.logits[delivery])
        if fold is not None:
            own_N &= self.facts["fold"] == fold
        if content:
            own_N &= self.facts["content"] == content
        return np.asarray(own_N)

    def has_same_images(self, other: "HeldOutLogits") -> bool:
        """Return whether another method has the same images, folds and main perturbations."""
        return (
            self.main_deliveries == other.main_deliveries
            and all(np.array_equal(column, other.facts[fact]) for fact, column in self.facts.items())
            and all(
                np.array_equal(np.isfinite(self.logits[delivery]), np.isfinite(other.logits[delivery]))
                for delivery in self.main_deliveries
            )
        )
