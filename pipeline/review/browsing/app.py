"""Web application: routes and handlers; pages are rendered on the server and work without scripts."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from mole.errors import MoleError, SettingsError
from pipeline.labels import Label
from pipeline.records import Status
from pipeline.review.analysis.suspicious import short
from pipeline.review.browsing import image_record
from pipeline.review.browsing.access_control import Guard
from pipeline.review.browsing.labelling import LabelEdit
from pipeline.review.browsing.pictures import Absent
from pipeline.review.browsing.placeholder import placeholder
from pipeline.review.browsing.query import DECLARED, LABELLED, SORTS, VERDICTS, Query
from pipeline.review.browsing.session import Session
from pipeline.review.browsing.snapshot import Row
from pipeline.telemetry.humanize import human_size
from pipeline.telemetry.printable import printable

PACKAGE = "pipeline.review.browsing"
MAX_FORM_BYTES = 64 << 10
"""Maximum size of a form in bytes."""
CACHE_CONTROL = "private, max-age=3600"
MAX_LABELS_PER_REQUEST = 200
"""Maximum number of images per request for labels."""
THUMBNAIL_SIDE, PREVIEW_SIDE = 320, 900
"""Sides of placeholders in pixels."""


def application(session: Session, port: int) -> Guard:
    """Create the ASGI application.

    Args:
        session: the browsing session.
        port: the server's port.
    """
    pages = Pages(session)
    static = StaticFiles(directory=str(files(PACKAGE) / "static"))
    routes = [
        Route("/", pages.gallery),
        Route("/state", pages.state),
        Route("/image/{number:int}", pages.image),
        Route("/thumbnail/{number:int}", pages.thumbnail),
        Route("/large/{number:int}", pages.large),
        Route("/seen/{number:int}", pages.seen),
        Route("/heat/{number:int}", pages.heat),
        Route("/labels", pages.labels),
        Route("/label", pages.label, methods=["POST"]),
        Route("/undo", pages.undo, methods=["POST"]),
        Mount("/static", static),
    ]
    return Guard(Starlette(routes=routes, exception_handlers={MoleError: pages.refused}), port, session.token)


class Pages:
    """The request handlers."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._templates = Environment(
            loader=PackageLoader(PACKAGE),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {
            "short": lambda text: printable(short(text)),
            "plain": lambda text: printable(str(text)),
            "chance": image_record.chance,
            "sized": human_size,
            "name": image_record.name,
        }
        self._templates.globals |= {
            "table": session.settings.table,
            "labels": session.settings.labels_folder,
            "labeller": session.settings.labeller,
            "edition": session.edition,
            "said": image_record.VERDICT_TITLES,
        }

    def gallery(self, request: Request) -> Response:
        """Show a page of images, or the progress of reading the table."""
        if not self._session.snapshot.state.ready:
            return self._page("waiting.html.j2", state=self._session.snapshot.state)
        try:
            query, complaint = Query.parse(request.query_params), ""
            count = self._session.count(query)
        except SettingsError as reason:
            query, complaint, count = _as_far_as_it_goes(request.query_params), str(reason), 0
        after, before = (_number(request.query_params.get(name)) for name in ("after", "before"))
        cards, first, more = ([], False, False) if complaint else self._session.page(query, after=after, before=before)
        labelled = {card["id"]: self._session.labelling.of(card["id"]) for card in cards}
        return self._page(
            "gallery.html.j2",
            query=query,
            typed=request.query_params,
            complaint=complaint,
            count=count,
            cards=cards,
            labelled=labelled,
            previous=_turned(query, "before", cards[0]["id"]) if first and cards else None,
            following=_turned(query, "after", cards[-1]["id"]) if more and cards else None,
            begun=after is not None or before is not None,
            facets=self._session.facets,
            total=self._session.snapshot.state.images,
            **self._counted(),
            labels_elsewhere=self._session.labelling.elsewhere,
            choices={"verdict": VERDICTS, "declared": DECLARED, "labelled": LABELLED, "sort": SORTS},
            status=400 if complaint else 200,
        )

    def image(self, request: Request) -> Response:
        """Show an image with its row."""
        if not self._session.snapshot.state.ready:
            return RedirectResponse("/", 303)
        query, row, records = Query.parse(request.query_params), self._row(request), self._session.records
        before, after = self._session.neighbours(query, row["id"])
        return self._page(
            "image.html.j2",
            row=row,
            query=query,
            before=before,
            after=after,
            label=self._session.labelling.of(row["id"]),
            **self._counted(),
            sentence=records.verdict(row),
            scale=records.scale(row),
            others=records.others(row),
            copies=records.copies(row),
            declared=image_record.declared(row),
            link=image_record.link(row),
            spec=self._session.checkpoints.spec(row["model"], row["preprocess"]),
            at_hand=self._session.checkpoints.of(row["model"]) is not None,
            same=row.get("same_as"),
            carried={name: value for name, value in (row.get("carried") or {}).items() if value is not None},
        )

    def thumbnail(self, request: Request) -> Response:
        """Send a thumbnail."""
        return _picture(self._session.pictures.thumbnail(self._row(request)), "image/jpeg")

    def large(self, request: Request) -> Response:
        """Send a large preview."""
        return _picture(self._session.pictures.large(self._row(request)), "image/jpeg", PREVIEW_SIDE)

    def seen(self, request: Request) -> Response:
        """Send the model's views of an image."""
        row = self._row(request)
        spec = self._session.checkpoints.spec(row["model"], row["preprocess"])
        if spec is None:
            return _picture(
                Absent("Not known here; start the command with --model or --registry"),
                "",
            )
        return _picture(self._session.pictures.seen(row, spec), "image/png")

    def heat(self, request: Request) -> Response:
        """Send the heat map of an image, or the reason why there is none."""
        found = self._session.heat_map(self._row(request))
        if isinstance(found, Absent):
            return JSONResponse({"absent": found.words})
        headers = {"Cache-Control": CACHE_CONTROL, "Heat-Words": quote(found.words)}
        return Response(found.picture, media_type="image/png", headers=headers)

    def state(self, request: Request) -> Response:
        """Return the progress of reading the table."""
        state = self._session.snapshot.state
        names = ("phase", "share", "images", "seconds", "ready", "error")
        return JSONResponse({name: getattr(state, name) for name in names})

    def labels(self, request: Request) -> Response:
        """Return the labels of images, for pages that were open in other tabs."""
        if not self._session.snapshot.state.ready:
            return JSONResponse({"error": "the table is still being read"}, 503)
        numbers = [_number(text) for text in request.query_params.getlist("id")[:MAX_LABELS_PER_REQUEST]]
        labels = {number: _texts(self._session.labelling.of(number)) for number in numbers if number is not None}
        return JSONResponse({"labels": labels, **self._counted()})

    async def label(self, request: Request) -> Response:
        """Label an image."""
        form = await _form(request)
        return await run_in_threadpool(self._label, request, form)

    async def undo(self, request: Request) -> Response:
        """Undo the last label."""
        return await run_in_threadpool(self._undo, request)

    async def refused(self, request: Request, reason: Exception) -> Response:
        """Return an error response."""
        status = 400 if isinstance(reason, SettingsError) else 502
        if _wants_json(request):
            return JSONResponse({"error": str(reason)}, status)
        return PlainTextResponse(f"{reason}\n", status)

    def _label(self, request: Request, form: dict[str, str]) -> Response:
        row = self._session.records.row(_number(form.get("id")) or 0) if self._session.snapshot.state.ready else None
        if row is None or (row["unit"], str(row["index"])) != (form.get("unit"), form.get("index")):
            raise SettingsError("that image is not in the table that is open now; reload the page")
        if form.get("label") not in set(Label):
            raise SettingsError(f"label must be one of {', '.join(Label)}, got {form.get('label', '')[:80]!r}")
        texts = (form[name].strip() if name in form else None for name in ("generator", "note"))
        now = self._session.labelling.say(row, LabelEdit(Label(form["label"]), *texts))
        return self._answered(request, row, now, f"/image/{row['id']}?{form.get('question', '')}")

    def _undo(self, request: Request) -> Response:
        undone = self._session.labelling.undo() if self._session.snapshot.state.ready else None
        if undone is None:
            raise SettingsError("Nothing to undo in this session")
        row, now = undone
        return self._answered(request, row, now, f"/image/{row['id']}")

    def _answered(self, request: Request, row: Row, now: Mapping[str, Any] | None, page: str) -> Response:
        if not _wants_json(request):
            return RedirectResponse(page, 303)
        answer = {"id": row["id"], "name": image_record.name(row), "label": _texts(now)}
        return JSONResponse({**answer, "state": image_record.state(now), **self._counted()})

    def _counted(self) -> dict[str, Any]:
        """Return the number of labels, and the name of the image that undo would change."""
        last = self._session.labelling.last
        row = None if last is None else self._session.records.row(last)
        return {"labels_count": self._session.labelling.count, "undo": row and image_record.name(row)}

    def _row(self, request: Request) -> Row:
        """Read the row of the requested image.

        Raises:
            HTTPException: there is no such image.
        """
        row = self._session.records.row(request.path_params["number"]) if self._session.snapshot.state.ready else None
        if row is None:
            raise HTTPException(404, f"the table has no image {request.path_params['number']}")
        return row

    def _page(self, template: str, *, status: int = 200, **values: object) -> Response:
        return HTMLResponse(self._templates.get_template(template).render(**values, statuses=list(Status)), status)


def _texts(label: Mapping[str, Any] | None) -> dict[str, str | None] | None:
    return None if label is None else {name: label[name] for name in ("label", "generator", "note")}


def _picture(made: bytes | Absent, kind: str, side: int = THUMBNAIL_SIDE) -> Response:
    if isinstance(made, Absent):
        return Response(
            placeholder(made.words, side), media_type="image/svg+xml", headers={"Cache-Control": "no-store"}
        )
    return Response(made, media_type=kind, headers={"Cache-Control": CACHE_CONTROL})


async def _form(request: Request) -> dict[str, str]:
    """Read a form.

    Raises:
        SettingsError: it is too large.
    """
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_FORM_BYTES:
            raise SettingsError(f"a form has at most {MAX_FORM_BYTES:,} bytes")
    read = parse_qs(bytes(body).decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=20)
    return {name: values[-1] for name, values in read.items()}


def _as_far_as_it_goes(given: QueryParams) -> Query:
    """Parse an invalid query as far as possible, to show it in the filter again."""
    try:
        return Query.parse(QueryParams([item for item in given.multi_items() if item[0] != "condition"]))
    except SettingsError:
        return Query()


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 19 else None


def _turned(query: Query, way: str, number: int) -> str:
    address = query.address
    return f"/?{address}{'&' if address else ''}{urlencode({way: number})}"


def _wants_json(request: Request) -> bool:
    return "application/json" in request.headers.get("accept", "")
