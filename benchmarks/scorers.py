"""Scorers: this scan and its peers, each scoring the images of a folder and recording its progress.

The peers decode with Pillow and transform with open_clip, as their documentation shows. clip-retrieval runs in an
environment of its own, with a tower of the same shape in float32, the only precision that it has on a CPU.
"""

import io
import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import open_clip
import ray.data
import torch
import webdataset
from PIL import Image
from ray.data import ActorPoolStrategy, Dataset
from torch.utils.data import DataLoader

from mole.checkpoint import load_checkpoint
from mole.config import describe
from mole.inference.scoring import SingleModelScorer
from mole.tower.hub import architecture_of
from pipeline import registry
from pipeline.runtime import cluster
from pipeline.scan.flow import scan
from pipeline.scan.settings import ScanSettings
from pipeline.telemetry.terminal import ProgressDisplay

CORES = os.cpu_count() or 1
Marks = list[tuple[float, int]]
"""Times, and how many images were done then."""
Scorer = Callable[[Path, str, int, Marks], None]
"""Scores images; takes their folder, the checkpoint, images a batch, and the list to which it appends its progress."""
CLIP_RETRIEVAL = """
import sys, tempfile
from pathlib import Path
import open_clip, torch
from clip_retrieval.clip_inference import clip_inference, mapper

shards, batch, workers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
score = mapper.ClipMapper.__call__

def score_and_print(self, item):
    scored = score(self, item)
    print("scored", len(item["image_tensor"]), flush=True)
    return scored

mapper.ClipMapper.__call__ = score_and_print
with tempfile.TemporaryDirectory() as folder:
    (Path(folder) / "same-shape.json").write_text(sys.argv[4])
    open_clip.add_model_config(folder)
    torch.save(open_clip.create_model("same-shape").state_dict(), f"{folder}/weights.pt")
    same = f"open_clip:same-shape/{folder}/weights.pt"
    clip_inference(shards, f"{folder}/out", input_format="webdataset", enable_text=False, use_jit=False,
                   batch_size=batch, num_prepro_workers=workers, clip_model=same)
"""
"""The script for clip-retrieval's interpreter: its own inference, which prints when a batch is scored."""


class Idiom:
    """The actor of Ray's documentation, with the same detector.

    Args:
        model: the checkpoint.
        column: the column of images, which `opened` turns into Pillow's.
    """

    def __init__(self, model: str, column: str) -> None:
        torch.set_num_threads(CORES)
        self.transform, self.column = stock(), column
        self.scorer = SingleModelScorer(load_checkpoint(registry.locate(model)), "cpu")

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Transform and score a batch of images, decoded ones or files."""
        views = [as_pixels(self.transform(opened(image))) for image in batch[self.column]]
        return {"logit": self.scorer.score(torch.stack(views)).logit}


def opened(image: np.ndarray | bytes) -> Image.Image:
    """Open an image that is decoded already, or a file's bytes."""
    return Image.open(io.BytesIO(image)).convert("RGB") if isinstance(image, bytes) else Image.fromarray(image)


def stock() -> Callable[[Image.Image], torch.Tensor]:
    """Make open_clip's own transform."""
    return open_clip.image_transform(224, is_train=False)  # type: ignore[no-any-return]


def as_pixels(view_3SS: torch.Tensor) -> torch.Tensor:
    """Undo the stock transform's normalisation, for the scorer normalises itself; uint8 (3, S, S)."""
    mean, std = torch.tensor(open_clip.OPENAI_DATASET_MEAN), torch.tensor(open_clip.OPENAI_DATASET_STD)
    return ((view_3SS * std[:, None, None] + mean[:, None, None]) * 255).round().clamp(0, 255).to(torch.uint8)


def this_scan(folder: Path, model: str, batch_size: int) -> float:
    """Scan a folder's shards as the command does, on Ray though they may be few; returns the seconds."""
    with tempfile.TemporaryDirectory() as output:
        source = [f"{folder}/*.tar"]
        settings = ScanSettings(source=source, output=output, model=model, batch_size=batch_size, num_actors=1)
        begun = time.perf_counter()
        scan(settings, ProgressDisplay(quiet=True))
        return time.perf_counter() - begun


def one_process(model: str) -> tuple[Callable[[Image.Image], torch.Tensor], SingleModelScorer]:
    """Make the stock transform and the detector for one process, with torch on every core."""
    torch.set_num_threads(CORES)
    return stock(), SingleModelScorer(load_checkpoint(registry.locate(model)), "cpu")


def plain_loop(folder: Path, model: str, batch_size: int, marks: Marks) -> None:
    """Decode with Pillow, transform with open_clip, score: one process."""
    transform, scorer = one_process(model)
    files, done = sorted(folder.glob("*.jpg")), 0
    for start in range(0, len(files), batch_size):
        views = [as_pixels(transform(Image.open(file).convert("RGB"))) for file in files[start : start + batch_size]]
        scorer.score(torch.stack(views))
        done += len(views)
        marks.append((time.perf_counter(), done))


def ray_idiom(folder: Path, model: str, batch_size: int, marks: Marks) -> None:
    """`read_images(...).map_batches(model)`, as in Ray's documentation."""
    map_batches(lambda: ray.data.read_images(str(folder), mode="RGB"), (model, "image"), batch_size, marks)


def ray_webdataset(folder: Path, model: str, batch_size: int, marks: Marks) -> None:
    """`read_webdataset(...).map_batches(model)`."""
    map_batches(lambda: ray.data.read_webdataset(shards(folder), decoder=None), (model, "jpg"), batch_size, marks)


def map_batches(read: Callable[[], Dataset], idiom: tuple[str, str], batch_size: int, marks: Marks) -> None:
    """Score a dataset with one actor on a local Ray.

    Args:
        read: makes the dataset once Ray is connected.
        idiom: the arguments of `Idiom`.
        batch_size: images a batch.
        marks: progress is appended to it.
    """
    with cluster.connected("local", logs=False):
        pool = ActorPoolStrategy(size=1)
        scored = read().map_batches(Idiom, fn_constructor_args=idiom, batch_size=batch_size, compute=pool, num_cpus=0)
        done = 0
        for batch in scored.iter_batches(batch_size=None):
            done += len(batch["logit"])
            marks.append((time.perf_counter(), done))


def torch_loader(folder: Path, model: str, batch_size: int, marks: Marks) -> None:
    """A DataLoader over webdataset with a worker per core, the model in the main process."""
    transform, scorer = one_process(model)
    files = webdataset.WebDataset(shards(folder), shardshuffle=False).decode("pil").to_tuple("jpg")
    views = files.map(lambda sample: as_pixels(transform(sample[0])))
    done = 0
    for batch in DataLoader(views, batch_size=batch_size, num_workers=CORES):
        scorer.score(batch)
        done += len(batch)
        marks.append((time.perf_counter(), done))


def shards(folder: Path) -> list[str]:
    """List a folder's shards."""
    return [str(path) for path in sorted(folder.glob("shards/*.tar"))]


def clip_retrieval(python: str, folder: Path, model: str, batch_size: int, marks: Marks) -> None:
    """clip-retrieval's `clip_inference` over the shards, with a tower of the model's shape and random weights.

    Args:
        python: the interpreter of an environment that has it.
        folder: of the images.
        model: the checkpoint.
        batch_size: images a batch.
        marks: progress is appended to it.
    """
    backbone = describe(registry.locate(model)).config.backbone
    shape = backbone.architecture or architecture_of(backbone.name)
    vision = {name: getattr(shape, name) for name in ("image_size", "layers", "width", "patch_size")}
    config = {
        "embed_dim": shape.embed_dim,
        "quick_gelu": shape.quick_gelu,
        "vision_cfg": vision | {"head_width": shape.width // shape.heads},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1},
    }
    command = [
        python,
        "-c",
        CLIP_RETRIEVAL,
        f"{folder}/shards/{{0..3}}.tar",
        str(batch_size),
        str(CORES),
        json.dumps(config),
    ]
    done = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as run:
        for line in run.stdout or ():
            for count in re.findall(r"scored (\d+)", line):  # its own report of its speed may be on the same line
                done += int(count)
                marks.append((time.perf_counter(), done))
    if run.returncode or not done:
        raise SystemExit(f"{python} -c … ended with {run.returncode} after {done} images; has it clip-retrieval?")


def peers(python: str | None) -> dict[str, Scorer]:
    """Return the peers by name; clip-retrieval where an interpreter that has it is given."""
    found: dict[str, Scorer] = {
        "plain loop": plain_loop,
        "read_images + map_batches": ray_idiom,
        "read_webdataset + map_batches": ray_webdataset,
        "webdataset + torch DataLoader": torch_loader,
    }
    return found if python is None else found | {"clip-retrieval": partial(clip_retrieval, python)}
