"""MoLE Scan as a library; `mole` itself holds the numbers: a frozen CLIP tower with a mixture of low-rank experts.

What a user imports from here is loaded when it is asked for, so that `import mole.config` costs no torch. It lies in
`pipeline.library`, since it reads files as a scan does; nothing in this project imports it by these names.
"""

from importlib import import_module

LIBRARY = {
    "Detector": "pipeline.library.detector",
    "Result": "pipeline.library.detector",
    "Scorer": "pipeline.library.scorer",
    "HeatMap": "mole.inference.heatmap",
    "heat_map": "mole.inference.heatmap",
    "heat_maps": "mole.inference.heatmap",
    "overlay": "mole.inference.drawing",
}
"""Where each name of the library lies."""
VERSION = "__version__"

__all__ = ["Detector", "HeatMap", "Result", "Scorer", "heat_map", "heat_maps", "overlay"]


def __getattr__(name: str) -> object:
    """Load a name of the library; see PEP 562.

    Raises:
        AttributeError: there is none of that name.
    """
    if name == VERSION:
        return import_module("importlib.metadata").version("mole-scan")
    if name not in LIBRARY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(LIBRARY)}")
    return getattr(import_module(LIBRARY[name]), name)


def __dir__() -> list[str]:
    """List the names of the library beside the module's own."""
    return sorted({*globals(), *LIBRARY, VERSION})
