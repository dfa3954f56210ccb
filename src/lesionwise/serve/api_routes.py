"""The API for programs, and its OpenAPI document."""

from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from lesionwise.data.metadata import Encoding, NumberField
from lesionwise.labels import CODES, MALIGNANT, NAMES
from lesionwise.serve import metrics as exposition
from lesionwise.serve.problems import KINDS, MEDIA_TYPE, Problem
from lesionwise.serve.schema import EXAMPLE, Alive, Bounds, Health, ModelInfo, Predictions
from lesionwise.serve.service import Service
from lesionwise.serve.uploads import FIELD, Budget, read_upload

_IMAGES: Final = {
    "type": "array",
    "minItems": 1,
    "items": {"type": "string", "format": "binary"},
    "description": "One file or more: JPEG, PNG, WebP, AVIF, TIFF or BMP, taken through a dermatoscope.",
}
_TYPES: Final = "image/jpeg, image/png, image/webp, image/avif, image/tiff, image/bmp"
IMAGE_PROBLEMS: Final = (
    *("bad-request", "no-token", "too-slow", "too-many-bytes", "too-many-images", "not-an-image"),
    *("bad-metadata", "damaged-image", "image-size", "decoding-time", "decoder-failed", "busy"),
)
"""Problems of every request with images."""


def _form(metadata: Encoding | None) -> dict[str, Any]:
    """Return the OpenAPI description of the form for a model."""
    properties: dict[str, Any] = {FIELD: _IMAGES}
    for field in metadata.fields if metadata else ():
        about = {"description": "Of all images of the request; left out or empty if unknown."}
        if isinstance(field, NumberField):
            about["description"] += f" In {field.unit}."
            limits = {"minimum": 0, "maximum": field.most}
            properties[field.name] = {"type": "number", **limits, **about}
        else:
            properties[field.name] = {"type": "string", "enum": [*field.words, ""], **about}
    schema = {"type": "object", "required": [FIELD], "properties": properties}
    form = {"schema": schema, "encoding": {FIELD: {"contentType": _TYPES}}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": form}}}


def problems(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of refusals."""
    found: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        kind = KINDS[code]
        response = found.setdefault(
            kind.status,
            {
                "description": kind.title,
                "content": {
                    MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}, "examples": {}}
                },
            },
        )
        examples = response["content"][MEDIA_TYPE]["examples"]
        examples[code] = {"value": Problem(code, "What was found in this request.").document()}
        if examples.keys() - {code}:
            response["description"] += f"; {kind.title[0].lower()}{kind.title[1:]}"
        if kind.status == HTTPStatus.SERVICE_UNAVAILABLE:
            response["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return found


def api_routes(service: Service, budget: Budget) -> APIRouter:
    """Return the routes."""
    router = APIRouter()

    @router.post(
        "/predict",
        summary="Classify images",
        response_description="An answer for each image",
        response_model=Predictions,
        responses={
            200: {"content": {"application/json": {"example": EXAMPLE}}},
            **problems(*IMAGE_PROBLEMS, "bad-name", "too-long-head", "not-multipart", "no-image"),
        },
        openapi_extra=_form(service.engine.description.metadata),
    )
    async def predict(
        request: Request,
        heatmap: Annotated[bool, Query(description="Whether to draw heatmaps.")] = True,  # noqa: FBT002 (a query)
        similar: Annotated[bool, Query(description="Whether to return similar lesions.")] = True,  # noqa: FBT002 (the same)
    ) -> Response:
        """Answer for each file of the field “image”. If one cannot be read, the whole request is refused."""
        with budget.hold() as hold:
            images, values = await read_upload(request, service.limits, hold, service.metadata_fields)
            answers = await service.answer(images, metadata=values, heatmap=heatmap)
        results = [answer.result | ({} if similar else {"similar": None}) for answer in answers]
        return JSONResponse({"results": results, "model": service.model_brief()})

    @router.get(
        "/model",
        summary="Describe the model",
        response_description="Everything that is known about it",
        response_model=ModelInfo,
        responses=problems("no-token"),
    )
    async def model() -> dict[str, Any]:
        """Return scores, thresholds, fingerprints and limits: all that the bundle states about itself."""
        diagnoses = [{"code": code, "name": NAMES[code], "malignant": code in MALIGNANT} for code in CODES]
        return service.model_brief() | {
            "diagnoses": diagnoses,
            "limits": {name: getattr(service.limits, name) for name in Bounds.model_fields},
            "precision": service.engine.precision,
            "margin": service.engine.margin,
            "gallery": None if service.gallery is None else service.gallery.brief(),
            "description": service.engine.description,
        }

    @router.get(
        "/live",
        summary="Report whether the service runs",
        response_description="It runs",
        response_model=Alive,
    )
    async def live() -> dict[str, Any]:
        """Answer while the service runs, whatever its state; needs no token."""
        return {"status": "ok"}

    async def ready() -> dict[str, Any]:
        """Answer if the service would answer an image now; needs no token.

        For this, the model must be loaded, a decoder must answer, there must be room for an image, and the
        service must not be closing.
        """
        await service.verify_ready()
        return {"status": "ok", "model": service.engine.description.name, "waiting": service.waiting}

    for address, summary in (
        ("/ready", "Report whether the service can answer"),
        ("/health", "The older name of /ready"),
    ):
        router.add_api_route(
            address,
            ready,
            summary=summary,
            response_description="It can answer",
            response_model=Health,
            responses=problems("not-ready"),
        )

    @router.get(
        "/metrics",
        summary="Report counts and times",
        response_class=Response,
        responses={
            200: {
                "content": {"text/plain": {"schema": {"type": "string"}}},
                "description": "Prometheus text.",
            },
            **problems("no-token"),
        },
    )
    async def metrics() -> Response:
        """Return counters and histograms for Prometheus; they contain nothing about any image."""
        return Response(service.metrics.text(), headers={"Content-Type": exposition.MEDIA_TYPE})

    return router
