"""Reconstruction: the flow from a user's photographs to a folder of pairs, and its settings."""

from collections.abc import Callable
from typing import Annotated, ClassVar

import ray
from pydantic import Field, PositiveInt

from pipeline import cluster, storage
from pipeline.telemetry import Ticker
from pipeline.tune.data.collection import recognised
from pipeline.tune.data.reconstruct import Reconstructed, reconstruct
from pipeline.tune.data.samples import capped
from pipeline.tune.data.settings import SampleSettings

Say = Callable[[str], None]


class ReconstructSettings(SampleSettings):
    """Make aligned fakes: pass real photographs through an autoencoder and write pairs through one last JPEG encoder.

    The output is a folder for --samples. Run the same command again and it makes only what is missing.

    exit codes: 0 every photograph has its pair, 1 some gave none, 2 a setting or a place that is not there, 3 a
    store failed, 4 the autoencoder cannot be used, 130 Ctrl-C, 143 SIGTERM
    """

    prefix = "MOLE_RECONSTRUCT_"
    flags: ClassVar[dict[str, str]] = {"json_summary": "--json"}

    output: Annotated[str, Field(min_length=1)] = Field(description="the folder URL of the pairs")
    autoencoder: Annotated[str, Field(min_length=1)] = Field(
        description="a local folder with taef2_encoder.pth and taef2_decoder.pth, or a diffusers AutoencoderKL"
    )
    largest: PositiveInt = Field(512, ge=16, description="a longer short side is brought down to this first, pixels")
    json_summary: bool = Field(False, description="print one JSON summary on stdout and nothing else there")


def make_pairs(settings: ReconstructSettings, say: Say) -> Reconstructed:
    """Recognise the samples and reconstruct the real ones.

    Args:
        settings: of the run.
        say: told of each step.

    Raises:
        SettingsError: a place is not there or not understood, or holds no photograph.
        StorageError: a place cannot be read, or the output refuses.
        ModelError: the autoencoder cannot be read.
    """
    storage.demand(settings.autoencoder, "--autoencoder")
    layout = recognised(settings, say, both=False)
    samples = [sample for sample in layout.samples if sample.label == 0]
    if settings.most is not None:
        samples = capped(samples, settings.most, seed=settings.seed)
    Ticker.shown().enter("starting Ray")
    with cluster.connected(settings.ray_address, logs=settings.ray_logs), cluster.own_errors():
        gpus = int(ray.cluster_resources().get("GPU", 0))  # type: ignore[no-untyped-call]
        return reconstruct(samples, settings.output, settings.autoencoder, largest=settings.largest, gpus=gpus)
