"""The page: addresses for people, with and without JavaScript."""

import secrets
from collections.abc import Mapping, Sequence
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
"""The page's script sends it to get results without the page around them."""
_THUMBNAIL_AGE_S: Final = 3600


def page_routes(service: Service, budget: Budget, examples: Sequence[Example]) -> APIRouter:
    """Return the routes."""
    router = APIRouter(include_in_schema=False)
    show = _Show(service, examples)

    @router.get("/")
    async def page(request: Request, example: int | None = None) -> Response:
        if example is None:
            return HTMLResponse(render_page(service, examples))
        content = _example(examples, example).content
        metadata = {name: request.query_params.get(name, "") for name in service.metadata_fields}
        try:
            return show.found(request, await service.answer_each([content], metadata=metadata, preview=True))
        except Problem as problem:
            return show.found(request, [problem])

    @router.post("/")
    async def ask(request: Request) -> Response:
        try:
            with budget.hold() as hold:
                images, values = await read_upload(request, service.limits, hold, service.metadata_fields)
                return show.found(request, await service.answer_each(images, metadata=values, preview=True))
        except Problem as problem:
            return show.found(request, [problem])

    _add_pictures(router, service, examples)
    return router


class _Show:
    """Answers as HTML: the results alone for the script, else a whole page."""

    def __init__(self, service: Service, examples: Sequence[Example]) -> None:
        self.service = service
        self.examples = examples

    def found(self, request: Request, found: list[Answer | Problem]) -> Response:
        results = describe(self.service, found, key=secrets.token_hex(3))
        problems = [one for one in found if isinstance(one, Problem)]
        for problem in problems:
            self.service.metrics.refusals.labels(problem.code).inc()
        status = problems[0].kind.status if len(problems) == len(found) else HTTPStatus.OK
        headers: Mapping[str, str] = problems[0].headers if problems else {}
        if FRAGMENT_HEADER in request.headers:
            html = render_results(self.service, results)
        else:
            html = render_page(self.service, self.examples, results)
        return HTMLResponse(html, status, {**headers, "Vary": FRAGMENT_HEADER})


def _add_pictures(router: APIRouter, service: Service, examples: Sequence[Example]) -> None:
    thumbnails: dict[int, bytes] = {}
    colors = palette_css()

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


def _example(examples: Sequence[Example], number: int) -> Example:
    if not 0 <= number < len(examples):
        raise Problem("not-found", "There is no such example.")
    return examples[number]
