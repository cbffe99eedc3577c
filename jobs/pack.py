"""Pack: bring a tower to a wanted size and say how far its embeddings moved."""

import argparse
import sys
from pathlib import Path

from mole.errors import MoleError
from pipeline.tune import packing
from pipeline.tune.data.samples import read_manifest


def main(arguments: list[str]) -> int:
    """Pack one tower from the command line.

    Returns:
        The exit code: 0 packed, 2 settings, 4 model.
    """
    flags = parse(arguments)
    try:
        samples = read_manifest(flags.manifest)
        calibration, photographs = packing.choose(
            samples, images=flags.images, held_out=flags.held_out, seed=flags.seed
        )
        scale = packing.pack_tower(
            flags.source, flags.output, flags.backbone, calibration=calibration, most_bytes=flags.most_bytes
        )
        cosine_N = packing.measure(flags.source, flags.output, flags.backbone, photographs)
    except MoleError as reason:
        print(f"{type(reason).__name__}: {reason}", file=sys.stderr)
        return reason.exit_code
    size = flags.output.stat().st_size
    print(f"{flags.output}: {size:,} bytes, scale {scale:.4g}, {len(calibration)} calibration images")
    print(f"cosine on {len(cosine_N)} {flags.held_out} images: mean {cosine_N.mean():.5f}, lowest {cosine_N.min():.5f}")
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the flags; argparse itself exits with 2 where one is refused."""
    parser = argparse.ArgumentParser(prog="pack.py", description=__doc__)
    parser.add_argument("--source", type=Path, required=True, help="the tower's weights, safetensors or pickle")
    parser.add_argument("--output", type=Path, required=True, help="the packed file")
    parser.add_argument("--manifest", type=Path, required=True, help="a CSV of images: path, label, generator, source")
    parser.add_argument("--held-out", default="coco", help="the source to measure on (default: %(default)s)")
    parser.add_argument("--backbone", default="ViT-B-16-quickgelu", help="open_clip's name (default: %(default)s)")
    parser.add_argument("--images", type=int, default=128, help="calibration images (default: %(default)s)")
    parser.add_argument("--most-bytes", type=int, default=49_500_000, help="of the packed file (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of images (default: %(default)s)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
