"""The plan: what each step of each stage sees, laid down before the first one.

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
"""The kind of a generated image that was made of no photograph."""


def sampling_plan(
    task: Task, samples: Sequence[Sample], *, contents: Sequence[str], rounds: int | None, views: int
) -> SamplingPlan:
    """Lay down what each step sees.

    Args:
        task: how long, and which stages.
        samples: of the training split.
        contents: what is in each.
        rounds: deliveries of an image that are kept; None for new ones in each epoch.
        views: views of a delivered image that the detector judges by; a draw sees one of them.

    Raises:
        SettingsError: a stage sees one class alone.
    """
    course, twins = task.schedule, 2 if task.schedule.consistency else 1
    parts = []
    for number, stage in enumerate(course.stages):
        seen_M = np.array([place for place, sample in enumerate(samples) if includes(stage, sample)], np.int64)
        kinds = [(samples[place].label, samples[place].source) for place in seen_M]
        if len({label for label, _ in kinds}) < 2:
            raise SettingsError(
                f"stage {stage.name!r} needs both classes, and sees no generated image of the kinds {stage.kinds}; "
                f"there are {sorted({kind_of(sample) for sample in samples if sample.label})}"
            )
        drawn = sample_epochs(
            kinds,
            contents=[contents[place] for place in seen_M],
            epochs=stage.epochs,
            steps=course.steps,
            batch_size=task.batch_size // twins,
            seed=task.seed + number,
        )
        parts.append(replace(drawn, place_K=seen_M[drawn.place_K]))
    places = np.concatenate([part.place_K for part in parts])
    epochs = np.repeat(np.arange(course.epochs), course.steps * task.batch_size // twins)
    chance = np.random.default_rng((task.seed, 1))
    first = epochs * twins if rounds is None else chance.integers(0, rounds, len(places))
    step = 1 if rounds is None else chance.integers(1, max(2, rounds), len(places))
    turns = [first + step * twin if rounds is None else (first + step * twin) % rounds for twin in range(twins)]
    seen = np.tile(chance.integers(0, views, len(places)), (twins, 1)).T.reshape(-1)
    return SamplingPlan(np.repeat(places, twins), np.stack(turns, axis=1).reshape(-1), seen, task.batch_size)


def includes(stage: Stage, sample: Sample) -> bool:
    """Tell whether a stage sees a sample: every real one, and the generated ones of its kinds."""
    return sample.label == 0 or not stage.kinds or kind_of(sample) in stage.kinds


def kind_of(sample: Sample) -> str:
    """Tell the kind of a generated image: what was made of a photograph says how, anything else is `generated`."""
    return sample.artefact or GENERATED
