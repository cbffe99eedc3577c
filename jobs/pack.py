"""Pack: quantise a tower to a target file size, and measure the change of its embeddings."""

if __name__ == "__main__":
    import interpreter  # noqa: F401 - ends with advice where this Python lacks the packages below

import sys

from pipeline.telemetry.terminal import command
from pipeline.tune import packing
from pipeline.tune.data.samples import read_manifest
from pipeline.tune.packing import PackSettings


@command
def main(arguments: list[str]) -> int:
    """Pack one tower from the command line.

    Returns:
        The exit code: 0 packed, 2 settings, 4 model, 130 interrupted, 143 SIGTERM.
    """
    settings = PackSettings.from_command_line(arguments)
    samples = read_manifest(settings.manifest)
    calibration, photographs = packing.split_samples(
        samples, images=settings.images, held_out=settings.held_out, seed=settings.seed
    )
    scale = packing.pack_tower(
        settings.source,
        settings.output,
        settings.backbone,
        calibration=calibration,
        max_bytes=settings.max_bytes,
        reads=settings.reads,
    )
    size = settings.output.stat().st_size
    print(f"{settings.output}: {size:,} bytes, scale {scale:.4g}, {len(calibration)} calibration images")
    names = [f"class token after block {read}" for read in settings.reads] or ["feature"]
    for moved in packing.measure(settings.source, settings.output, settings.backbone, photographs, settings.reads):
        for name, cosine_N, centred_N in zip(names, moved.cosine_RN, moved.centred_RN, strict=True):
            print(
                f"{name} on {len(photographs)} {settings.held_out} images, {moved.view}: "
                f"cosine mean {cosine_N.mean():.5f}, lowest {cosine_N.min():.5f}; "
                f"after subtracting the mean over images {centred_N.mean():.5f}, {centred_N.min():.5f}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
