"""Interpreter check: a job started by a Python without its packages prints which one to use.

Each job imports this first, so it uses only the standard library, of any Python 3.
"""

import os
import sys
from importlib.util import find_spec

MIN_PYTHON = (3, 11)
REQUIRED_MODULES = ("duckdb", "pipeline", "pyarrow", "pydantic", "ray", "rich", "torch")
RAY_JOB_VARIABLE = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Set by Ray for the command of a submitted job."""
INVALID_SETTINGS = 2
"""The exit code of invalid settings."""


def refusal(command: "list[str]") -> str:
    """Explain what this interpreter lacks, and how to start the command with another; empty if nothing."""
    lacks = [name for name in REQUIRED_MODULES if find_spec(name) is None]
    if sys.version_info[:2] >= MIN_PYTHON and not lacks:
        return ""
    version = ".".join(map(str, sys.version_info[:3]))
    fault = f"lacks {', '.join(lacks)}" if sys.version_info[:2] >= MIN_PYTHON else "is older than Python 3.11"
    message = f"{command[0]} was started by {sys.executable}, Python {version}, which {fault}."
    words = " ".join(command)
    if RAY_JOB_VARIABLE in os.environ:
        return (
            f"{message} Ray runs a submitted command with the PATH that its head was started with. Give the "
            f"absolute path of the interpreter with the packages there: ray job submit ... -- "
            f"/srv/mole-scan/.venv/bin/python {words}"
        )
    root = os.path.dirname(os.path.dirname(os.path.abspath(command[0])))
    own = os.path.join(root, ".venv", "bin", "python")
    if os.path.exists(own) and os.path.realpath(sys.prefix) != os.path.realpath(os.path.join(root, ".venv")):
        return f"{message} Start it with the one that has the packages: {own} {words}"
    return f"{message} Install them: make setup in {root}, then {own} {words}"


message = refusal(sys.argv)
if message:
    print(message, file=sys.stderr)
    sys.exit(INVALID_SETTINGS)
