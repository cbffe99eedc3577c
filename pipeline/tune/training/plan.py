"""Staged plan: the samples, variants and views of every step of every stage; `sampling.py` draws those of one.

Legend: K draws of a training, N samples.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mole.errors import SettingsError
from pipeline.tune.data.samples import Sample
from pipeline.tune.training.sampling import SamplingPlan, sample_epochs
from pipeline.tune.training.task import Stage, Task

GENERATED = "generated"
"""The kind of a generated image that was not made from a photograph."""


def sampling_plan(
    task: Task, samples: Sequence[Sample], *, contents: Sequence[str], variants: int | None, views: int
) -> SamplingPlan:
    """Draw what each step sees.

    Args:
        task: schedule, batch size and seed.
        samples: of the training split.
        contents: content of each sample.
        variants: cached augmented variants per image; None to augment anew in every epoch.
        views: views of an augmented image that the detector scores it by; a draw uses one of them.

    Raises:
        SettingsError: a stage has samples of one class only.
    """
    schedule, twins = task.schedule, 2 if task.schedule.consistency else 1
    parts = []
    for number, stage in enumerate(schedule.stages):
        included_M = np.array([index for index, sample in enumerate(samples) if includes(stage, sample)], np.int64)
        kinds = [(samples[index].label, samples[index].source) for index in included_M]
        if len({label for label, _ in kinds}) < 2:
            raise SettingsError(
                f"stage {stage.name!r} needs both classes, but no generated image is of the kinds {stage.kinds}; "
                f"there are {sorted({kind_of(sample) for sample in samples if sample.label})}"
            )
        drawn = sample_epochs(
            kinds,
            contents=[contents[index] for index in included_M],
            epochs=stage.epochs,
            steps=schedule.steps,
            batch_size=task.batch_size // twins,
            seed=task.seed + number,
        )
        parts.append(replace(drawn, sample_K=included_M[drawn.sample_K]))
    indices = np.concatenate([part.sample_K for part in parts])
    epochs = np.repeat(np.arange(schedule.epochs), schedule.steps * task.batch_size // twins)
    chance = np.random.default_rng((task.seed, 1))
    first = epochs * twins if variants is None else chance.integers(0, variants, len(indices))
    step = 1 if variants is None else chance.integers(1, max(2, variants), len(indices))
    drawn_variants = [
        first + step * twin if variants is None else (first + step * twin) % variants for twin in range(twins)
    ]
    view_K = np.tile(chance.integers(0, views, len(indices)), (twins, 1)).T.reshape(-1)
    variant_K = np.stack(drawn_variants, axis=1).reshape(-1)
    return SamplingPlan(np.repeat(indices, twins), variant_K, view_K, task.batch_size)


def includes(stage: Stage, sample: Sample) -> bool:
    """Return whether a stage trains on a sample: every real one, and generated ones of its kinds."""
    return sample.label == 0 or not stage.kinds or kind_of(sample) in stage.kinds


def kind_of(sample: Sample) -> str:
    """Return the kind of a generated image: what its photograph was passed through, or `generated` if it has none."""
    return sample.artefact or GENERATED
