"""The application: API, page, reference and refusals together."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from lesionwise import __version__
from lesionwise.serve.api_routes import api_routes
from lesionwise.serve.examples import Example
from lesionwise.serve.guard import Guard
from lesionwise.serve.page import about, render_lost, render_reference, static_folder
from lesionwise.serve.page_routes import page_routes
from lesionwise.serve.problems import HERE, Problem, base_of
from lesionwise.serve.protocol_v2 import PREFIX, READ_BY_HAND, v2_routes
from lesionwise.serve.schema import Predictions, Probabilities, ProblemDocument, Result
from lesionwise.serve.service import Service
from lesionwise.serve.uploads import Budget

_ABOUT: Final = """{lead}

Research and education; not a medical device. Nothing that is sent here is kept."""


class Application(FastAPI):
    """FastAPI with problem documents in its OpenAPI document, and the most important records first."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        if not self.openapi_schema:
            document = super().openapi()
            components = document["components"]
            found = components["schemas"]
            for record in (ProblemDocument, *READ_BY_HAND):
                schema = record.model_json_schema(ref_template="#/components/schemas/{model}")
                found[record.__name__] = {key: value for key, value in schema.items() if key != "$defs"}
            for operation in (one for path in document["paths"].values() for one in path.values()):
                if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                    del operation["responses"]["422"]  # FastAPI's own; ours are problem documents
            first = [record.__name__ for record in (Predictions, Result, Probabilities, ProblemDocument)]
            unused = {"HTTPValidationError", "ValidationError"}
            rest = [name for name in found if name not in first and name not in unused]
            components["schemas"] = {name: found[name] for name in [*first, *rest]}
        return self.openapi_schema or {}


def create_app(
    service: Service, *, examples: Sequence[Example] = (), token: str | None = None
) -> Application:
    """Return the application.

    Args:
        token: Required of every request, except those that ask whether the service runs; none if left out.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.stop()

    app = Application(
        title="lesionwise",
        version=__version__,
        description=_ABOUT.format(lead=about(service.engine.description)["lead"]),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would contain a scheme and a host, which a proxy may change
        servers=[{"url": HERE}],
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    app.add_middleware(Guard, service=service, token=token)
    _add_refusals(app, service)
    budget = Budget(service.limits.held_bytes)
    app.include_router(api_routes(service, budget))
    app.include_router(v2_routes(service, budget))
    app.include_router(page_routes(service, budget, examples))

    @app.get("/docs", include_in_schema=False)
    async def reference() -> Response:
        return HTMLResponse(render_reference(service, app.openapi()))

    app.mount("/static", StaticFiles(directory=static_folder()), name="static")
    return app


def _add_refusals(app: FastAPI, service: Service) -> None:
    def answer(request: Request, problem: Problem) -> Response:
        service.metrics.refusals.labels(problem.code).inc()
        path = request.scope["path"]
        return problem.response(base_of(path), names_error=path.startswith(PREFIX))

    @app.exception_handler(Problem)
    async def refuse(request: Request, problem: Problem) -> Response:
        return answer(request, problem)

    @app.exception_handler(HTTPException)
    async def refuse_address(request: Request, error: HTTPException) -> Response:
        code = {404: "not-found", 405: "bad-method"}.get(error.status_code, "bad-request")
        problem = Problem(code, "The address or method is not known.", headers=error.headers)
        if code == "not-found" and "text/html" in request.headers.get("accept", ""):
            service.metrics.refusals.labels(code).inc()
            return HTMLResponse(render_lost(service, problem, base_of(request.scope["path"])), 404)
        return answer(request, problem)

    @app.exception_handler(RequestValidationError)
    async def refuse_query(request: Request, error: RequestValidationError) -> Response:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        return answer(request, Problem("bad-request", f"{where}: {fault['msg']}"))
