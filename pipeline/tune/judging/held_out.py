"""Held: logits of images by detectors that never saw anything of their collections, and what such a table must obey.

Legend: N images of one method, in whatever deliveries.
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
from pipeline.tune.judging.perturbation import ALIGNED, NATIVE, SHIPPED

Mask = NDArray[np.bool_]
MIN_IMAGES = 10
"""Images from which on a generator, or a collection of reals, is judged by itself and not together with others."""
MAIN_DELIVERIES = (SHIPPED, ALIGNED, NATIVE)
"""Deliveries in which thresholds are to hold and every figure is told, those of them that there are."""
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
"""A picture in one delivery, scored by one method's detector that was trained without `fold`. `image` names the
picture; `label` is 1 for what was generated or made of a photograph; `artefact` is empty for what stands for itself,
else what the photograph of its `group` was passed through; `logit` is null where the picture could not be read."""


def held_out_rows(samples: Sequence[Sample], logit_N: FloatArray, *, method: str, fold: int, delivery: str) -> pa.Table:
    """Write what one detector says of the samples that it was trained without.

    Args:
        samples: of the collections that the fold holds out, and what was made of their photographs.
        logit_N: of each, NaN where it could not be read.
        method: what was trained.
        fold: which fold, from 0.
        delivery: what was done to every picture first.

    Returns:
        A table of `HELD`.
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
    """Name a picture: where it lies, its place inside a shard, its cell, and what it was passed through."""
    inside = (sample.offset, sample.cell, sample.artefact or None)
    return "#".join([sample.uri, *(str(one) for one in inside if one is not None)])


@dataclass(frozen=True)
class HeldOutLogits:
    """One method's images, in order of name.

    Attributes:
        facts: the columns `FACTS`, each (N,).
        logits: of each delivery, float64 (N,), NaN where a picture could not be read or was not delivered so.
        unread: rows without a logit.
    """

    facts: Mapping[str, NDArray[np.generic]]
    logits: Mapping[str, NDArray[np.float64]]
    unread: int

    @classmethod
    def of(cls, table: pa.Table, method: str) -> "HeldOutLogits":
        """Take one method's rows of a table of `HELD`.

        Raises:
            SettingsError: an image is twice in a delivery or is said to be two things, a collection lies in two folds,
                a fold lacks a class, there is but one fold, or no image was scored as shipped.
        """
        facts: dict[str, tuple[object, ...]] = {}
        logits: dict[str, dict[str, float]] = {}
        unread = 0
        for row in table.filter(pc.equal(table["method"], method)).select([*FACTS, "delivery", "logit"]).to_pylist():
            *known, delivery, logit = row.values()
            image = row["image"]
            if facts.setdefault(image, tuple(known)) != tuple(known):
                raise SettingsError(f"image {image!r} of {method!r} is said to be {facts[image]} and {tuple(known)}")
            scored = logits.setdefault(delivery, {})
            if image in scored:
                raise SettingsError(f"image {image!r} of {method!r} is twice in delivery {delivery!r}")
            scored[image] = np.nan if logit is None else logit
            unread += logit is None
        if SHIPPED not in logits:
            raise SettingsError(f"method {method!r} has no logits as {SHIPPED}; its deliveries are {sorted(logits)}")
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
        """Refuse splits of which no figure could be honest.

        Raises:
            SettingsError: they are such.
        """
        fold_N = self.facts["fold"]
        found: dict[str, int] = {}
        for name, fold in zip(self.facts["collection"].tolist(), fold_N.tolist(), strict=True):
            if found.setdefault(name, fold) != fold:
                both = " and ".join(map(str, sorted((found[name], fold))))
                raise SettingsError(f"collection {name!r} must lie in one fold, lies in {both}; hold it out whole")
        if len(self.folds) < 2:
            raise SettingsError(f"thresholds come from other folds, so there must be 2 or more, got {self.folds}")
        for fold in self.folds:
            if not all((self.standalone(label) & (fold_N == fold)).any() for label in (0, 1)):
                raise SettingsError(
                    f"fold {fold} must hold out images of both classes that were read {', '.join(self.main_deliveries)}; move a "
                    "collection into it"
                )

    @property
    def folds(self) -> list[int]:
        """Their numbers."""
        return sorted(set(self.facts["fold"].tolist()))

    @property
    def main_deliveries(self) -> list[str]:
        """Those of `JUDGED` that there are."""
        return [delivery for delivery in MAIN_DELIVERIES if delivery in self.logits]

    def standalone(self, label: int) -> Mask:
        """Mark the images of a class that stand for themselves and were read in every judged delivery; bool (N,)."""
        return np.asarray(np.all([self.of_class(label, delivery) for delivery in self.main_deliveries], axis=0))

    @cached_property
    def name_N(self) -> NDArray[np.str_]:
        """Name what each image is judged with: its generator, its collection of reals, or several that have few."""
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
        """Name one of several that have few images after what holds them, anything else after itself."""
        label, collection, generator = key
        together = few.get(collection if label else "", 0)
        if images >= MIN_IMAGES or together < 2:
            return generator if label else collection
        what = f"{collection}, {together} generators" if label else f"{together} collections"
        return f"{what} of fewer than {MIN_IMAGES} images"

    def of_class(self, label: int, delivery: str, *, fold: int | None = None, content: str = "") -> Mask:
        """Mark the images of a class that stand for themselves and were read in a delivery; bool (N,).

        Args:
            label: 0 real, 1 generated.
            delivery: its name.
            fold: those that it held out; all where None.
            content: what is in them; all where empty.
        """
        own_N = (self.facts["label"] == label) & (self.facts["artefact"] == "") & np.isfinite(self.logits[delivery])
        if fold is not None:
            own_N &= self.facts["fold"] == fold
        if content:
            own_N &= self.facts["content"] == content
        return np.asarray(own_N)

    def has_same_images(self, other: "HeldOutLogits") -> bool:
        """Tell whether another method has the same images and folds, read in the same judged deliveries."""
        return (
            self.main_deliveries == other.main_deliveries
            and all(np.array_equal(column, other.facts[fact]) for fact, column in self.facts.items())
            and all(
                np.array_equal(np.isfinite(self.logits[delivery]), np.isfinite(other.logits[delivery]))
                for delivery in self.main_deliveries
            )
        )
