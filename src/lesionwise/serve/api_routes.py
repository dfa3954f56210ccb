"""The API: addresses for programs, and what the OpenAPI document says of them."""

from copy import deepcopy
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from lesionwise.data.metadata import Encoding, NumberField
from lesionwise.labels import CODES, MALIGNANT, NAMES
from lesionwise.serve import metrics as exposition
from lesionwise.serve.problems import KINDS, MEDIA_TYPE, Problem
from lesionwise.serve.schema import EXAMPLE, Alive, Health, ModelInfo, Predictions
from lesionwise.serve.service import Service
from lesionwise.serve.similar import gallery_brief
from lesionwise.serve.uploads import FIELD, Budget, read_upload

_UPLOAD: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "properties": {
                        FIELD: {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "format": "binary"},
                            "description": "One file or more: JPEG, PNG, WebP, AVIF, TIFF or BMP, taken "
                            "through a dermatoscope.",
                        }
                    },
                },
                "encoding": {
                    FIELD: {
                        "contentType": "image/jpeg, image/png, image/webp, image/avif, image/tiff, image/bmp"
                    }
                },
            }
        },
    }
}
_UPLOAD_PROBLEMS: Final = (
    "bad-request",
    "bad-name",
    "no-token",
    "too-slow",
    "too-many-bytes",
    "too-many-images",
    "too-long-head",
    "not-multipart",
    "not-an-image",
    "no-image",
    "bad-metadata",
    "damaged-image",
    "image-size",
    "decoding-time",
    "decoder-failed",
    "busy",
)


def _upload(metadata: Encoding | None) -> dict[str, Any]:
    """Return the OpenAPI description of a request, for a model of images alone or one that takes more."""
    described = deepcopy(_UPLOAD)
    schema = described["requestBody"]["content"]["multipart/form-data"]["schema"]
    for field in metadata.fields if metadata else ():
        about = {"description": "Of all images of the request; left out or empty if it is not known."}
        if isinstance(field, NumberField):
            about["description"] += f" In {field.unit}."
            schema["properties"][field.name] = {
                "type": "number",
                "minimum": 0,
                "maximum": field.most,
                **about,
            }
        else:
            schema["properties"][field.name] = {"type": "string", "enum": [*field.words, ""], **about}
    return described


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
    _add_predict(router, service, budget)
    _add_model(router, service)
    _add_operations(router, service)
    return router


def _add_predict(router: APIRouter, service: Service, budget: Budget) -> None:
    @router.post(
        "/predict",
        summary="Classify images",
        response_description="An answer for each image",
        response_model=Predictions,
        responses={
            200: {"content": {"application/json": {"example": EXAMPLE}}},
            **problems(*_UPLOAD_PROBLEMS),
        },
        openapi_extra=_upload(service.engine.description.metadata),
    )
    async def predict(
        request: Request,
        heatmap: Annotated[bool, Query(description="Whether to draw heatmaps.")] = True,  # noqa: FBT002 (a query)
        similar: Annotated[bool, Query(description="Whether to give similar lesions.")] = True,  # noqa: FBT002 (the same)
    ) -> Response:
        """Answer for each file of the field “image”. If one cannot be read, the whole request is refused."""
        with budget.hold() as hold:
            images, values = await read_upload(request, service.limits, hold, service.metadata_fields)
            answers = await service.answer(images, metadata=values, heatmap=heatmap)
        results = [answer.result | ({} if similar else {"similar": None}) for answer in answers]
        return JSONResponse({"results": results, "model": service.model_brief()})


def _add_model(router: APIRouter, service: Service) -> None:
    @router.get(
        "/model",
        summary="Describe the model",
        response_description="All that is known of it",
        response_model=ModelInfo,
        responses=problems("no-token"),
    )
    async def model() -> dict[str, Any]:
        """Return scores, thresholds, fingerprints and limits: what the bundle says about itself."""
        diagnoses = [{"code": code, "name": NAMES[code], "malignant": code in MALIGNANT} for code in CODES]
        limits = {name: getattr(service.limits, name) for name in ("image_bytes", "request_bytes", "images")}
        limits |= {"pixels": service.limits.pixels, "side_px": service.limits.side_px}
        brief = service.model_brief()
        return brief | {
            "diagnoses": diagnoses,
            "limits": limits,
            "precision": service.engine.precision,
            "gallery": gallery_brief(service.gallery),
            "description": service.engine.description,
        }


def _add_operations(router: APIRouter, service: Service) -> None:
    @router.get(
        "/live", summary="Tell whether the service runs", response_description="It does", response_model=Alive
    )
    async def live() -> dict[str, Any]:
        """Answer as long as the service runs, whatever state it is in; needs no token."""
        return {"status": "ok"}

    async def ready() -> dict[str, Any]:
        """Answer if an image sent now would be answered; needs no token.

        That is so if the model is loaded, a decoder answers, there is room for an image, and the service is
        not closing down.
        """
        await service.verify_ready()
        return {"status": "ok", "model": service.engine.description.name, "waiting": service.waiting}

    for address, summary in (
        ("/ready", "Tell whether the service can answer"),
        ("/health", "The same as /ready, by its older name"),
    ):
        router.add_api_route(
            address,
            ready,
            summary=summary,
            response_description="It can",
            response_model=Health,
            responses=problems("not-ready"),
        )

    @router.get(
        "/metrics",
        summary="Count and time",
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
        """Return counters and histograms for Prometheus; nothing about any image is among them."""
        return Response(service.metrics.text(), headers={"Content-Type": exposition.MEDIA_TYPE})
