"""Roads: ways to score the images of a folder, this scan and its peers; each notes when how many were done.

The peers decode with Pillow and transform with open_clip, as their documentation shows. clip-retrieval lives in an
environment of its own, and runs a tower of the same shape in float32, which is all that it does on a CPU.
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
from ray.data import ActorPoolStrategy
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
Road = Callable[[Path, str, int, Marks], None]
"""Folder of images, checkpoint, images a batch, and who is told when how many are done."""
CLIP_RETRIEVAL = """
import sys, tempfile
from pathlib import Path
import open_clip, torch
from clip_retrieval.clip_inference import clip_inference, mapper

shards, batch, workers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
score = mapper.ClipMapper.__call__

def told(self, item):
    made = score(self, item)
    print("scored", len(item["image_tensor"]), flush=True)
    return made

mapper.ClipMapper.__call__ = told
with tempfile.TemporaryDirectory() as folder:
    (Path(folder) / "same-shape.json").write_text(sys.argv[4])
    open_clip.add_model_config(folder)
    torch.save(open_clip.create_model("same-shape").state_dict(), f"{folder}/weights.pt")
    same = f"open_clip:same-shape/{folder}/weights.pt"
    clip_inference(shards, f"{folder}/out", input_format="webdataset", enable_text=False, use_jit=False,
                   batch_size=batch, num_prepro_workers=workers, clip_model=same)
"""
"""What clip-retrieval's own interpreter runs: its own inference, which says when a batch is scored."""


class Idiom:
    """The actor that Ray's documentation shows, with the same detector."""

    def __init__(self, model: str) -> None:
        torch.set_num_threads(CORES)
        self.transform = stock()
        self.scorer = SingleModelScorer(load_checkpoint(registry.locate(model)), "cpu")

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Score a batch of decoded images."""
        views = [as_pixels(self.transform(Image.fromarray(image))) for image in batch["image"]]
        return {"logit": self.scorer.score(torch.stack(views)).logit}


class ShardIdiom(Idiom):
    """The same over what `read_webdataset` leaves undecoded."""

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Decode and score a batch of files."""
        views = [as_pixels(self.transform(Image.open(io.BytesIO(data)).convert("RGB"))) for data in batch["jpg"]]
        return {"logit": self.scorer.score(torch.stack(views)).logit}


def stock() -> Callable[[Image.Image], torch.Tensor]:
    """Make open_clip's own transform."""
    return open_clip.image_transform(224, is_train=False)  # type: ignore[no-any-return]


def as_pixels(view_3SS: torch.Tensor) -> torch.Tensor:
    """Undo the stock transform's normalisation, for the scorer normalises itself; uint8 (3, S, S)."""
    mean, std = torch.tensor(open_clip.OPENAI_DATASET_MEAN), torch.tensor(open_clip.OPENAI_DATASET_STD)
    return ((view_3SS * std[:, None, None] + mean[:, None, None]) * 255).round().clamp(0, 255).to(torch.uint8)


def this_scan(shards: Path, model: str, batch_size: int) -> float:
    """Scan a folder's shards as the command does, without its process; seconds."""
    with tempfile.TemporaryDirectory() as output:
        source = [f"{shards}/*.tar"]
        settings = ScanSettings(source=source, output=output, model=model, batch_size=batch_size)
        begun = time.perf_counter()
        scan(settings, ProgressDisplay(quiet=True))
        return time.perf_counter() - begun


def plain_loop(folder: Path, model: str, batch_size: int, marks: Marks) -> None:
    """Decode with Pillow, transform with open_clip, score: one process, torch on every core."""
    torch.set_num_threads(CORES)
    transform, scorer = stock(), SingleModelScorer(load_checkpoint(registry.locate(model)), "cpu")
    files, done = sorted(folder.glob("*.jpg")), 0
    for start in range(0, len(files), batch_size):
        views = [as_pixels(transform(Image.open(file).convert("RGB"))) for file in files[start : start + batch_size]]
        scorer.score(torch.stack(views))
        done += len(views)
        marks.append((time.perf_counter(), done))


def ray_idiom(folder: Path, model: str, batch_size: int, marks: Marks) -> None:
    """`read_images(...).map_batches(model)`, as Ray's documentation has it."""
    with cluster.connected("local", logs=False):
        images = ray.data.read_images(str(folder), mode="RGB")
        pool = ActorPoolStrategy(size=1)
        scored = images.map_batches(
            Idiom, fn_constructor_args=(model,), batch_size=batch_size, compute=pool, num_cpus=0
        )
        done = 0
        for batch in scored.iter_batches(batch_size=None):
            done += len(batch["logit"])
            marks.append((time.perf_counter(), done))


def ray_webdataset(folder: Path, model: str, batch_size: int, marks: Marks) -> None:
    """`read_webdataset(...).map_batches(model)`."""
    with cluster.connected("local", logs=False):
        shards = ray.data.read_webdataset([str(path) for path in sorted(folder.glob("shards/*.tar"))], decoder=None)
        pool = ActorPoolStrategy(size=1)
        scored = shards.map_batches(
            ShardIdiom, fn_constructor_args=(model,), batch_size=batch_size, compute=pool, num_cpus=0
        )
        done = 0
        for batch in scored.iter_batches(batch_size=None):
            done += len(batch["logit"])
            marks.append((time.perf_counter(), done))


def torch_loader(folder: Path, model: str, batch_size: int, marks: Marks) -> None:
    """A DataLoader over webdataset with a worker a core, the model in the main process on every core."""
    torch.set_num_threads(CORES)
    transform, scorer = stock(), SingleModelScorer(load_checkpoint(registry.locate(model)), "cpu")
    shards = [str(path) for path in sorted(folder.glob("shards/*.tar"))]
    files = webdataset.WebDataset(shards, shardshuffle=False).decode("pil").to_tuple("jpg")
    views = files.map(lambda sample: as_pixels(transform(sample[0])))
    done = 0
    for batch in DataLoader(views, batch_size=batch_size, num_workers=CORES):
        scorer.score(batch)
        done += len(batch)
        marks.append((time.perf_counter(), done))


def clip_retrieval(python: str, folder: Path, model: str, batch_size: int, marks: Marks) -> None:
    """clip-retrieval's `clip_inference` over the shards, with a tower of the model's shape and drawn weights.

    Args:
        python: the interpreter of the environment that holds it.
        folder: of the images.
        model: the checkpoint.
        batch_size: images a batch.
        marks: told when a batch is scored.
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
            for count in re.findall(r"scored (\d+)", line):  # what it says of its speed may stand before that
                done += int(count)
                marks.append((time.perf_counter(), done))
    if run.returncode or not done:
        raise SystemExit(f"{python} -c … ended with {run.returncode} after {done} images; has it clip-retrieval?")


def peers(python: str | None) -> dict[str, Road]:
    """Name the peers' roads; clip-retrieval's where an interpreter that has it is given."""
    found: dict[str, Road] = {
        "plain loop": plain_loop,
        "read_images + map_batches": ray_idiom,
        "read_webdataset + map_batches": ray_webdataset,
        "webdataset + torch DataLoader": torch_loader,
    }
    return found if python is None else found | {"clip-retrieval": partial(clip_retrieval, python)}
