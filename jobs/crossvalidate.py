"""Crossvalidate: compare detectors on sources that none of them saw, and make the checkpoint of the best recipe."""

if __name__ == "__main__":
    import interpreter  # noqa: F401 - ends with advice where this Python lacks the packages below

import json
import sys

from rich.table import Table

from pipeline.telemetry import Ticker, command, results
from pipeline.tune.study.crossvalidate import Study, crossvalidate
from pipeline.tune.study.recipe import Recipe


@command
def main(arguments: list[str]) -> int:
    """Run one study from the command line.

    Returns:
        The exit code: 0 done, 2 settings, 3 storage, 4 model, 130 interrupted, 143 SIGTERM.
    """
    recipe = Recipe.from_command_line(arguments)
    with Ticker("crossvalidate") as ticker:
        study = crossvalidate(recipe, ticker.say)
    if recipe.json_table:
        print(json.dumps({method: judged.table for method, judged in study.methods.items()}))
    else:
        results().print(table(study))
    if study.checkpoint:
        ticker.say(f"{study.checkpoint.folder}: {study.checkpoint.digest}")
    return 0


def table(study: Study) -> Table:
    """Lay out the AUROC of each method on each source that it never saw."""
    shown = Table(title="AUROC on sources never trained on", caption="aligned / as shipped; pairs: one last encoder")
    for column in ("source", "images", *study.methods):
        shown.add_column(column, justify="left" if column == "source" else "right")
    first = next(iter(study.methods.values()))
    for row, figure in enumerate(first.sources):
        mine = [judged.sources[row] for judged in study.methods.values()]
        cells = [f"{found.auroc_aligned:.3f} / {found.auroc_shipped:.3f}" for found in mine]
        shown.add_row(f"{figure.source} ({'generated' if figure.generated else 'real'})", str(figure.images), *cells)
    shown.add_section()
    for row, pair in enumerate(first.photographs):
        areas = [f"{judged.photographs[row].auroc:.3f}" for judged in study.methods.values()]
        shown.add_row(f"{pair.source} against its reconstructions", str(pair.pairs), *areas)
    return shown


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
