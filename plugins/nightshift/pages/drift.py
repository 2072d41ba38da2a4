"""The pages about drift: whether something needs doing, each day's report, its plot, and Evidently's page.

Evidently's page is a program of others inside ours. It is handed out in a sandbox of the browser, in which it
has no address of its own: it cannot see Airflow's session, ask Airflow anything or reach another server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path as Folder
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, BinaryIO

from fastapi import APIRouter, Path, Query
from fastapi.responses import HTMLResponse, Response, StreamingResponse

from include.db.drift import drift_report
from ml.registry.artefacts import ArtefactMissing, fetch_artefact
from ml.registry.connect import connect
from ml.registry.errors import RegistryRefused, RegistryUnavailable
from nightshift.pages.drift_view import drift_page, report_page

if TYPE_CHECKING:
    from sqlalchemy import Engine

# Evidently's pages have 4 to 6 million bytes.
LARGEST_PAGE = 64 * 2**20
PIECE = 2**16
EVIDENTLY_HEADERS = {
    "content-security-policy": (
        "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
        "img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}

Name = Annotated[str, Path(pattern=r"^[^\x00-\x1f/]{1,250}$")]


def drift_pages(page: Callable[..., Response], engine: Callable[[], Engine]) -> APIRouter:
    """The routes.

    Args:
        page: renders a template by name.
        engine: on the `nightshift` database.
    """
    routes = APIRouter()

    @routes.get("/drift", response_class=HTMLResponse)
    def overview() -> Response:
        return page("drift.html", it=drift_page(engine(), datetime.now(UTC).date()), base="drift/")

    @routes.get("/drift/{model}/{scope}/{day}", response_class=HTMLResponse)
    def report(model: Name, scope: Name, day: date) -> Response:
        found = report_page(engine(), model, scope, day)
        if found is None:
            sentence = f"There is no report on {model} of {day}"
            return page("no_drift.html", status=404, sentence=sentence, advice="", up=3)
        return page("drift_day.html", it=found, base="../../")

    @routes.get("/drift/{model}/{scope}/{day}/plot.png")
    def plot(model: Name, scope: Name, day: date, dark: Annotated[bool, Query()] = False) -> Response:
        found = drift_report(engine(), model, scope, day)
        if found is None:
            return Response(status_code=404)
        from ml.drift.plot import drift_plot

        headers = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
        return Response(drift_plot(found.numbers, dark=dark), media_type="image/png", headers=headers)

    @routes.get("/drift/{model}/{scope}/{day}/evidently", response_class=HTMLResponse)
    def evidently(model: Name, scope: Name, day: date) -> Response:
        def missing(sentence: str, advice: str, status: int) -> Response:
            return page("no_drift.html", status=status, sentence=sentence, advice=advice, up=4)

        found = drift_report(engine(), model, scope, day)
        if found is None or not found.html_uri:
            return missing(
                f"Evidently drew no page about {model} on {day}",
                "It draws one where there are columns to compare; else the report says why not.",
                404,
            )
        try:
            html = _fetched(found.html_uri)
        except RegistryUnavailable:
            return missing(
                "MLflow does not answer, and it keeps Evidently's pages",
                "Check connection mlflow_default, then reload. The report itself needs no MLflow.",
                503,
            )
        except ArtefactMissing:
            return missing(
                f"Evidently's page about {model} on {day} is gone from MLflow",
                "Somebody deleted the run or its files. Run drift_report for the day again to draw it anew.",
                404,
            )
        except (RegistryRefused, ValueError) as error:
            return missing("MLflow does not hand out Evidently's page", str(error)[:300], 502)
        return StreamingResponse(_pieces(html), media_type="text/html", headers=EVIDENTLY_HEADERS)

    return routes


def _fetched(uri: str) -> BinaryIO:
    """A file of MLflow, opened; it has no name any more and goes away when it is closed.

    Raises:
        RegistryUnavailable, RegistryRefused: as MLflow answered.
        ValueError: the address is none of a run's file, or connection mlflow_default has no host.
    """
    from airflow.sdk.exceptions import AirflowNotFoundException

    from nightshift.connections import mlflow_tracking_uri

    try:
        client = connect(mlflow_tracking_uri())
    except AirflowNotFoundException as error:
        raise RegistryUnavailable("there is no connection mlflow_default") from error
    with TemporaryDirectory() as folder:
        return fetch_artefact(client, uri, Folder(folder), at_most_bytes=LARGEST_PAGE).open("rb")


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(PIECE):
            yield piece
