"""MoLE Scan as a library, and the detector itself: a frozen CLIP tower with a mixture of low-rank experts.

The public names are loaded on first access, so that `import mole.config` does not import torch. Most of them are
defined in `pipeline.library`, since they read files as a scan does; nothing in this project imports them from here.
"""

from importlib import import_module

LIBRARY = {
    "Detector": "pipeline.library.detector",
    "Result": "pipeline.library.detector",
    "Scorer": "pipeline.library.scorer",
    "HeatMap": "mole.inference.heatmap",
    "heat_map": "mole.inference.heatmap",
    "heat_maps": "mole.inference.heatmap",
    "overlay": "mole.inference.heatmap_overlay",
}
"""The module that defines each public name."""
VERSION = "__version__"

__all__ = ["Detector", "HeatMap", "Result", "Scorer", "heat_map", "heat_maps", "overlay"]


def __getattr__(name: str) -> object:
    """Load a public name; see PEP 562.

    Raises:
        AttributeError: there is no such name.
    """
    if name == VERSION:
        return import_module("importlib.metadata").version("mole-scan")
    if name not in LIBRARY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(LIBRARY)}")
    return getattr(import_module(LIBRARY[name]), name)


def __dir__() -> list[str]:
    """List the public names and the module's own."""
    return sorted({*globals(), *LIBRARY, VERSION})
