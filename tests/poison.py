"""A decoder that dies: every Python process that finds this module first is ended by SIGSEGV at a marked image."""

from pathlib import Path

MARK = b"-ends-its-decoder-"
SITE = f"""
import os, signal
try:
    from PIL import Image
except ImportError:
    Image = None
else:
    opened = Image.open

    def deadly(file, *arguments, **more):
        data = getattr(file, "getvalue", bytes)()
        if {MARK!r} in data:
            os.kill(os.getpid(), signal.SIGSEGV)
        return opened(file, *arguments, **more)

    Image.open = deadly
"""


def poisoned(folder: Path) -> str:
    """Write the module; give the PYTHONPATH with which it is found."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(SITE)
    return str(folder)
