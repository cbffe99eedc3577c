"""Help: the text and the metavar that --help shows for a setting."""

from datetime import datetime
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

DURABLE = ("reals", "source", "samples", "output", "table", "registry", "database", "report")
"""Settings that name a place which a run writes to, or which the table or a version records."""
PLACES = frozenset(
    {*DURABLE, "autoencoder", "base", "init_from", "labels", "manifest", "model", "reviews", "shadow"}
) | {"tower"}
"""Settings that name a file, a folder or a URL where their type does not say so."""
URLS = frozenset({*DURABLE, "labels", "reviews"})
"""Those that take any path or URL and nothing else."""
METAVARS = {int: "N", float: "NUMBER", Path: "FILE", datetime: "TIME"}
MAX_CHOICES_WIDTH = 30
"""Characters of the choices that are shown as a metavar."""


def help_text(field: FieldInfo) -> str:
    """Return the help of a setting: what it is, its choices, and its default."""
    text, ending, shown = str(field.description).partition(" (default: ")
    if named := choices(field.annotation):
        text += f": {', '.join(named[:-1])}{' or ' if named[1:] else ''}{named[-1]}"
    if field.is_required() and not ending:
        return f"{text} (required)"
    if not ending:
        default = field.default
        plain = ",".join(map(str, default)) if isinstance(default, tuple) else default
        shown = f"{'off' if plain is False else plain})"
    return f"{text} (default: {shown}"


def metavar(flag: str, name: str, annotation: Any) -> str:
    """Return what stands for the value of a flag: a type, the choices, or the last word of the flag.

    Args:
        flag: such as `--max-images`.
        name: the setting's.
        annotation: its type.
    """
    named = ",".join(choices(annotation))
    if named and len(named) <= MAX_CHOICES_WIDTH:
        return f"{{{named}}}"
    kinds = value_types(annotation)
    for kind in kinds:
        if kind in METAVARS:
            return METAVARS[kind]
        if get_origin(kind) is dict or (get_origin(kind) is tuple and is_compound(value_types(get_args(kind)[0])[0])):
            return "JSON"
        if get_origin(kind) is tuple:
            return "A,B,..."
    word = flag.lstrip("-").upper().replace("-", "_")
    return "URL" if name in URLS else word if word.endswith(("_FROM", "_OUT")) else word.rpartition("_")[2]


def is_compound(kind: Any) -> bool:
    """Tell whether a type has parts of its own, so that only JSON can write a list of it."""
    return get_origin(kind) is tuple or (isinstance(kind, type) and issubclass(kind, BaseModel))


def choices(annotation: Any) -> tuple[str, ...]:
    """List the values of a setting that is a choice, whether or not it may be left out."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return next((choices(part) for part in get_args(annotation) if get_origin(part) is Literal), ())


def value_types(annotation: Any) -> list[Any]:
    """List the plain types inside `X | None`, `Annotated` and `list`."""
    origin = get_origin(annotation)
    if origin in (Annotated, list):
        return value_types(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [kind for part in get_args(annotation) for kind in value_types(part)]
    return [annotation]
