"""Report: writes the HTML report of one model's rows, and the CSV file of suspicious images next to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline.review.analysis import checkpoint, drift, findings, history
from pipeline.review.analysis.breakdown import breakdown
from pipeline.review.analysis.checkpoint import Checkpoint
from pipeline.review.analysis.findings import Bin, Bounds, Scale
from pipeline.review.analysis.history import Run, Span
from pipeline.review.analysis.model_rows import ModelRows, open_rows
from pipeline.review.analysis.pictures import FILE_GONE, pictures
from pipeline.review.page import chart, conclusion, run_status, suspicious_csv, wording
from pipeline.review.page.wording import Limit
from pipeline.storage import storage
from pipeline.telemetry import humanize
from pipeline.telemetry.printable import counted

TEMPLATE = "report.html.j2"
PAGE = "report.html"

GALLERIES = {
    "suspicious": (
        "Most suspicious",
        (
            "Called generated or declared so, the declared first, then the highest score first. Images whose file and "
            "score contradict each other have a list of their own."
        ),
    ),
    "declared generated": (
        "Declared generated, called real",
        "The file names a generator, and the score speaks against it. The mark may be false, or the model wrong.",
    ),
    "declared camera": (
        "Camera named in the file, called generated",
        "The file names a camera, and the score speaks against it. The mark may be false, or the model wrong.",
    ),
    "doubtful": (
        "Most doubtful",
        "Close to a score where the verdict changes, the nearest first, without those shown above.",
    ),
}
"""Title and description of each gallery."""


@dataclass(frozen=True)
class Report:
    """The written files.

    Attributes:
        page: URL of the HTML file.
        size: its size in bytes.
        sheet: URL of the CSV file of suspicious images.
        suspicious: number of its rows.
    """

    page: str
    size: int
    sheet: str
    suspicious: int


def write_report(table: str, output: str | None = None, *, model: str | None = None) -> Report:
    """Write the report of a verdict table, and the CSV file of suspicious images next to it.

    Args:
        table: the table's folder URL.
        output: URL of the HTML file; None for one in the table's folder.
        model: a model's digest or its first characters; None for the model with the most rows.

    Raises:
        SettingsError: there is no verdict table, or no such model in it.
        StorageError: a store failed.
    """
    page = storage.absolute(output) if output is not None else storage.join(storage.absolute(table), PAGE)
    beside = storage.join(page.rpartition("/")[0], suspicious_csv.NAME)
    with open_rows(table, model) as rows:
        lines, suspicious = suspicious_csv.write(rows, beside)
        text = render(rows, lines=lines, suspicious=suspicious)
    data = text.encode("utf-8", "backslashreplace")
    storage.write(page, data)
    return Report(page, len(data), beside, lines)


def render(rows: ModelRows, *, lines: int, suspicious: int) -> str:
    """Render the page.

    Args:
        rows: the rows of one model.
        lines: rows of the CSV file next to the page.
        suspicious: images that belong in that file.
    """
    counts, runs, assumed = findings.counts(rows), history.runs(rows), rows.prevalences()
    model = checkpoint.find(rows.model.digest, checkpoint.places_of([run.settings for run in runs]))
    template = _environment().get_template(TEMPLATE)
    return template.render(
        made=datetime.now(UTC),
        table=rows.table,
        rows=rows,
        counts=counts,
        model=model,
        assumed=assumed,
        read=conclusion.readings(counts, model, assumed[0]),
        conclusion=conclusion,
        groups=breakdown(rows),
        faults=findings.faults(rows),
        advice=wording.ADVICE,
        lines=lines,
        suspicious=suspicious,
        sheet=suspicious_csv.NAME,
        flips=drift.flips(rows),
        verdicts=("generated", "unsure", "real"),
        **_scores(rows, model, assumed[0]),
        **_runs(rows, runs),
    )


def _scores(rows: ModelRows, model: Checkpoint | None, assumed: float) -> dict[str, Any]:
    """Collect the template's values on scores: thresholds, histogram and galleries."""
    scale, bounds = findings.scale(rows), _bounds(rows, model)
    bins = findings.histogram(rows)
    chosen = dict(findings.galleries(rows, bounds))
    seen = [row for some in chosen.values() for row in some]
    shown, limits = pictures(seen), _limits(bounds, scale, model, assumed, seen)
    return {
        "limits": [limit for limit in limits if limit is not None],
        "threshold": limits[1],
        "unsure_from": limits[0],
        "histogram": _histogram(bins, scale, bounds),
        "bins": bins,
        "scale": scale,
        "galleries": [(key, *GALLERIES[key], some) for key, some in chosen.items()],
        "close": _close(bounds, scale),
        "pictures": shown,
        "moved": _moved(seen, [shown[row["unit"], row["index"]].why == FILE_GONE for row in seen]),
        "MOVED": FILE_GONE,
    }


def _runs(rows: ModelRows, runs: Sequence[Run]) -> dict[str, Any]:
    """Collect the template's values on runs: sources, unfinished scans, speed and drift."""
    mine = run_status.of_model(runs, rows.model.digest)
    sources, spans = run_status.sources(mine), history.spans(rows)
    own = [run for run in runs if run.called.images]
    before = next((run for run in own[1:] if run.ended), None)
    return {
        "runs": runs,
        "sources": sources,
        "several": run_status.several(sources),
        "unfinished": run_status.unfinished(mine),
        "again": run_status.RESTART_ADVICE,
        "speed": _speed(runs, spans),
        "spans": spans,
        "course": _course(spans),
        "since": None if before is None else (own[0], before, drift.between(rows, before.window, own[0].window)),
    }


def _environment() -> Environment:
    """Create the Jinja environment; everything is escaped but the charts, which contain no external text."""
    made = Environment(
        loader=PackageLoader("pipeline.review.page", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "percent": wording.percent,
        "chance": wording.chance,
        "interval": wording.interval,
        "likelihood": wording.likelihood,
        "plain": wording.plain,
        "link": wording.link,
        "there": _there,
        "declarations": wording.declarations,
        "name": wording.name,
        "place": wording.place,
        "inside": wording.inside,
        "address": wording.address,
        "sized": humanize.human_size,
        "lasting": humanize.human_duration,
        "when": lambda time: f"{time:%Y-%m-%d %H:%M} UTC",
        "count": lambda number: f"{number:,}",
    }
    return made


def _bounds(rows: ModelRows, model: Checkpoint | None) -> Bounds:
    """Return the thresholds of the model, or those inferred from the rows if it is not available."""
    if model is None:
        return findings.bounds(rows)
    calibration = model.config.calibration
    return Bounds(calibration.real_below, calibration.generated_above)


def _limits(
    bounds: Bounds, scale: Scale | None, model: Checkpoint | None, assumed: float, seen: Sequence[Mapping[str, Any]]
) -> list[Limit | None]:
    """Return the thresholds as probabilities, with enough digits to separate them from the displayed images."""
    if model is not None:
        exact: Sequence[float | None] = model.config.calibration.thresholds(assumed)
    else:
        logits = (bounds.real_below, bounds.generated_above)
        exact = [None if one is None or scale is None else scale.chance(one) for one in logits]
    shown = [row["probability"] for row in seen if row["probability"] is not None]
    return [None if one is None else Limit.beside(one, shown) for one in exact]


def _close(bounds: Bounds, scale: Scale | None) -> str:
    """Describe which probabilities count as close to a threshold."""
    if scale is None:
        return ""
    limits = [limit for limit in (bounds.real_below, bounds.generated_above) if limit is not None]
    ends = [
        (scale.chance(limit - findings.DOUBTFUL_DISTANCE), scale.chance(limit + findings.DOUBTFUL_DISTANCE))
        for limit in limits
    ]
    ranges = " or ".join(map(wording.interval, ends))
    return f"Close is a probability of {ranges}: at most {findings.DOUBTFUL_DISTANCE:g} logit away."


def _there(uri: str | None) -> str | None:
    """Return a URL, or None for a local file that no longer exists, so that it is not linked."""
    return uri if uri is None or not storage.is_local(uri) or storage.exists(uri) else None


def _moved(rows: Sequence[Mapping[str, Any]], gone: Sequence[bool]) -> str:
    """Describe how many displayed files no longer exist; empty if all do."""
    if not any(gone):
        return ""
    folders = [str(row["uri"] or "").rpartition("/")[0] for row, is_gone in zip(rows, gone, strict=True) if is_gone]
    alike = takewhile(lambda some: len(set(some)) == 1, zip(*(one.split("/") for one in folders), strict=False))
    top = "/".join(some[0] for some in alike)
    where = f"at {wording.address(top)}" if top else "where they were scanned"
    return f"{sum(gone):,} of {counted(len(rows), 'picture')} {'is' if sum(gone) == 1 else 'are'} no longer {where}."


def _histogram(bins: Sequence[Bin], scale: Scale | None, bounds: Bounds) -> Markup:
    if not bins or scale is None:
        return Markup("")
    lines = ((bounds.real_below, "unsure from here"), (bounds.generated_above, "generated from here"))
    return Markup(chart.histogram(bins, scale, [(at, word) for at, word in lines if at is not None]))


def _speed(runs: Sequence[Run], spans: Sequence[Span]) -> Mapping[str, Any] | None:
    """Draw images per second over time, from the last run's record or from the rows' times."""
    last = next((run for run in runs if run.course), None)
    if last is not None:
        rates = last.course
        texts = [f"until {humanize.human_duration(seconds)}: {rate:,.1f} images/s" for seconds, rate in rates]
        ends = [chart.Mark((at + 1) / len(rates), humanize.human_duration(rates[at][0])) for at in range(len(rates))]
        source, axis = f"the record of the run of {last.started:%Y-%m-%d %H:%M} UTC", "since the start of the run"
    elif history.worth_drawing(spans):
        rates = [(span.seconds, span.rate) for span in spans]
        texts = [f"{span.since:%Y-%m-%d %H:%M:%S}: {span.rate:,.1f} images/s" for span in spans]
        ends = _times(spans)
        source, axis = "the times of the rows", "UTC"
    else:
        return None
    bars = [chart.Bar({"images": rate}, words_) for (_, rate), words_ in zip(rates, texts, strict=True)]
    drawn = chart.columns(bars, ends, title="Images per second over time", axis=axis)
    return {"chart": Markup(drawn), "source": source, "told": texts}


def _course(spans: Sequence[Span]) -> Markup:
    """Draw the share called generated over time."""
    if not history.worth_drawing(spans):
        return Markup("")
    bars = [
        chart.Bar(
            {"generated": 100 * span.called.share},
            f"{span.since:%Y-%m-%d %H:%M:%S}: {wording.percent(span.called.share)} of {span.scored:,}",
        )
        for span in spans
    ]
    return Markup(chart.columns(bars, _times(spans), title="Share called generated over time", axis="UTC", unit=" %"))


def _times(spans: Sequence[Span]) -> list[chart.Mark]:
    """Return ticks at the starts of time spans, with the date or time as needed."""
    whole = timedelta(seconds=sum(span.seconds for span in spans))
    form = "%m-%d" if whole > timedelta(days=4) else "%m-%d %H:%M" if whole > timedelta(hours=20) else "%H:%M:%S"
    return [chart.Mark(at / len(spans), f"{span.since:{form}}") for at, span in enumerate(spans)]
