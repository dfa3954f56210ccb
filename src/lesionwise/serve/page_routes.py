"""The page: addresses for people, with and without JavaScript."""

import secrets
from collections.abc import Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from lesionwise.serve.examples import Example
from lesionwise.serve.page import describe, palette_css, render_page, render_results
from lesionwise.serve.problems import Problem
from lesionwise.serve.service import Answer, Service
from lesionwise.serve.uploads import Budget, read_upload

FRAGMENT_HEADER: Final = "x-lesionwise"
"""Header of the page's script, which needs results without the rest of the page."""
_THUMBNAIL_AGE_S: Final = 3600


def page_routes(service: Service, budget: Budget, examples: Sequence[Example]) -> APIRouter:
    """Return the routes."""
    router = APIRouter(include_in_schema=False)
    thumbnails: dict[int, bytes] = {}
    colors = palette_css()
    show = partial(_show, service, examples)

    @router.get("/")
    async def page(request: Request, example: int | None = None) -> Response:
        if example is None:
            return HTMLResponse(render_page(service, examples))
        content = _example(examples, example).content
        metadata = {name: request.query_params.get(name, "") for name in service.metadata_fields}
        try:
            return show(request, await service.answer_each([content], metadata=metadata, preview=True))
        except Problem as problem:
            return show(request, [problem])

    @router.post("/")
    async def ask(request: Request) -> Response:
        try:
            with budget.hold() as hold:
                images, values = await read_upload(request, service.limits, hold, service.metadata_fields)
                return show(request, await service.answer_each(images, metadata=values, preview=True))
        except Problem as problem:
            return show(request, [problem])

    @router.get("/examples/{number}")
    async def thumbnail(number: int) -> Response:
        content = _example(examples, number).content
        if number not in thumbnails:
            thumbnails[number] = await service.draw_preview(content)
        headers = {"Cache-Control": f"max-age={_THUMBNAIL_AGE_S}"}
        return Response(thumbnails[number], media_type="image/jpeg", headers=headers)

    @router.get("/palette.css")
    async def palette() -> Response:
        return Response(colors, media_type="text/css", headers={"Cache-Control": "no-cache"})

    return router


def _show(
    service: Service, examples: Sequence[Example], request: Request, found: list[Answer | Problem]
) -> Response:
    """Return answers as HTML: only results for the script, a whole page for others."""
    results = describe(service, found, key=secrets.token_hex(3))
    problems = [one for one in found if isinstance(one, Problem)]
    for problem in problems:
        service.metrics.refusals.labels(problem.code).inc()
    status = problems[0].kind.status if len(problems) == len(found) else HTTPStatus.OK
    headers: Mapping[str, str] = problems[0].headers if problems else {}
    for_script = FRAGMENT_HEADER in request.headers
    html = render_results(service, results) if for_script else render_page(service, examples, results)
    return HTMLResponse(html, status, {**headers, "Vary": FRAGMENT_HEADER})


def _example(examples: Sequence[Example], number: int) -> Example:
    if not 0 <= number < len(examples):
        raise Problem("not-found", "There is no such example.")
    return examples[number]
