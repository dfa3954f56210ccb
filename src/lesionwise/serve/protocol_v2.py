"""The standard protocol of inference servers (KServe v2, "open inference protocol"), over HTTP.

Here: `/v2`, for clients and orchestrators that know no other API, with images as files (BYTES) or as the
network's own pixels (UINT8), in JSON or with the binary tensors of Triton's clients. Not here: our own API,
which says more (`api_routes`), and answering (`service`).

References:
    https://github.com/kserve/open-inference-protocol
    https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/protocol/extension_binary_data.html
"""

import asyncio
import base64
import binascii
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lesionwise import __version__
from lesionwise.arrays import Pixels
from lesionwise.labels import CODES
from lesionwise.serve.api_routes import IMAGE_PROBLEMS, problems
from lesionwise.serve.problems import Problem
from lesionwise.serve.service import Service
from lesionwise.serve.uploads import Budget, arriving, verify_length
from lesionwise.wording import counted

PREFIX: Final = "/v2"
INPUT: Final = "image"
HEADER_LENGTH: Final = "inference-header-content-length"
OTHER_VALUES: Final = 1024
"""Number of values in the JSON part beside the pixels of one image."""
_LENGTH: Final = struct.Struct("<I")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class Tensor(_Record):
    """An input or output."""

    name: str
    datatype: Literal["BYTES", "UINT8", "FP32"]
    shape: Annotated[list[Annotated[int, Field(ge=-1, lt=1 << 31)]], Field(max_length=4)]


class InputTensor(Tensor):
    """The images: files as BYTES (N), base64 in JSON; or the network's pixels as UINT8 (N, H, W, 3)."""

    parameters: dict[str, Any] = {}
    data: list[Any] | None = None


class OutputTensor(Tensor):
    """One kind of answer to all images."""

    data: list[str | float]


class WantedOutput(_Record):
    """A requested output."""

    name: str


class InferRequest(_Record):
    """Images, and the requested outputs; all if left out."""

    id: str | None = None
    inputs: list[InputTensor] = Field(min_length=1, max_length=1)
    outputs: list[WantedOutput] = []
    parameters: dict[str, Any] = Field(
        {}, description="May contain metadata of the images, by field of the model's metadata."
    )


class InferResponse(_Record):
    """The answers."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[OutputTensor]


class ServerInfo(_Record):
    """Name and version of this server."""

    name: str
    version: str
    extensions: list[str]


class ModelMetadata(_Record):
    """Inputs and outputs of the model."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[Tensor]
    outputs: list[Tensor]


class Probe(_Record):
    """State of the server or the model."""

    live: bool | None = None
    ready: bool | None = None


READ_BY_HAND: Final = (InferRequest, InputTensor, WantedOutput)
"""Records of requests; FastAPI does not know them, because the body is read within the service's limits."""


def v2_routes(service: Service, budget: Budget) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix=PREFIX)
    probe: dict[str, Any] = {"response_model": Probe, "response_model_exclude_none": True}

    @router.get("", summary="Name the server (v2)", response_model=ServerInfo, responses=problems("no-token"))
    async def server() -> dict[str, Any]:
        """Return name, version and extensions of the protocol."""
        return {"name": "lesionwise", "version": __version__, "extensions": ["binary_tensor_data"]}

    @router.get("/health/live", summary="Report whether the service runs (v2)", **probe)
    async def live() -> dict[str, bool]:
        """Answer as `/live` does; needs no token."""
        return {"live": True}

    @router.get(
        "/health/ready",
        summary="Report whether the service can answer (v2)",
        responses=problems("not-ready"),
        **probe,
    )
    async def ready() -> dict[str, bool]:
        """Answer as `/ready` does; needs no token."""
        await service.verify_ready()
        return {"ready": True}

    @router.get(
        "/models/{name}",
        summary="Describe the tensors of the model (v2)",
        response_model=ModelMetadata,
        responses=problems("no-token", "not-found"),
    )
    async def metadata(name: str) -> dict[str, Any]:
        """Return names, types and shapes of the input and the outputs; -1 stands for any number."""
        _verify_name(service, name)
        return {
            "name": name,
            "versions": [_version(service)],
            "platform": "lesionwise",
            "inputs": [{"name": INPUT, "datatype": "BYTES", "shape": [-1]}],
            "outputs": [
                {"name": output, "datatype": kind, "shape": [-1, *shape]}
                for output, (kind, shape) in _outputs(service).items()
            ],
        }

    @router.get(
        "/models/{name}/ready",
        summary="Report whether the model can answer (v2)",
        responses=problems("no-token", "not-found", "not-ready"),
        **probe,
    )
    async def model_ready(name: str) -> dict[str, bool]:
        """Answer as `/ready` does."""
        _verify_name(service, name)
        await service.verify_ready()
        return {"ready": True}

    @router.post(
        "/models/{name}/infer",
        summary="Classify images (v2)",
        response_model=InferResponse,
        responses=problems(*IMAGE_PROBLEMS, "not-found"),
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/InferRequest"}}},
            }
        },
    )
    async def infer(name: str, request: Request) -> JSONResponse:
        """Answer for each image of the tensor “image”. If one cannot be read, all are refused."""
        _verify_name(service, name)
        with budget.hold() as hold:
            verify_length(request, service.limits)
            chunks = [chunk async for chunk in arriving(request, service.limits, hold)]
            header_length = request.headers.get(HEADER_LENGTH)
            asked, images = await asyncio.to_thread(_parse, header_length, b"".join(chunks), service)
            del chunks  # the images are copies, which wait for the network without the body
            wanted = [one.name for one in asked.outputs] or list(_outputs(service))
            if unknown := set(wanted) - set(_outputs(service)):
                raise Problem("bad-request", f"The model lacks {len(unknown)} of the requested outputs.")
            fields = service.metadata_fields
            known = asked.parameters
            metadata = {name: str(known[name]) for name in fields if known.get(name) is not None}
            if isinstance(images, np.ndarray):
                results = await service.answer_pixels(images, metadata=metadata)
            else:
                found = await service.answer(images, metadata=metadata, heatmap=False)
                results = [one.result for one in found]
        outputs = [_output(output, results, service) for output in wanted]
        answer = {"model_name": name, "model_version": _version(service), "outputs": outputs}
        return JSONResponse(answer if asked.id is None else answer | {"id": asked.id})

    return router


def _verify_name(service: Service, name: str) -> None:
    if name != service.engine.description.name:
        raise Problem("not-found", "There is no such model.")


def _version(service: Service) -> str:
    return service.engine.bundle.sha256[:12]


def _outputs(service: Service) -> dict[str, tuple[Literal["FP32", "BYTES"], list[int]]]:
    """Return datatype and shape of one image's outputs by name."""
    found: dict[str, tuple[Literal["FP32", "BYTES"], list[int]]] = {
        "probabilities": ("FP32", [len(CODES)]),
        "malignant_probability": ("FP32", []),
        "decision": ("BYTES", []),
        "top": ("BYTES", []),
    }
    if service.engine.description.calibration is not None:
        found["prediction_set"] = ("BYTES", [])
    if "ood_score" in service.engine.description.outputs:
        found["ood_score"] = ("FP32", [])
    return found


def _output(name: str, results: Sequence[Mapping[str, Any]], service: Service) -> dict[str, Any]:
    kind, shape = _outputs(service)[name]
    if name == "probabilities":
        data = [result[name][code] for result in results for code in CODES]
    elif name == "prediction_set":
        data = [",".join(result[name]) for result in results]
    else:
        data = [result[name] for result in results]
    return {"name": name, "datatype": kind, "shape": [len(results), *shape], "data": data}


def _parse(
    header_length: str | None, body: bytes, service: Service
) -> tuple[InferRequest, list[bytes] | Pixels]:
    """Return a request and its images; called in its own thread, because a body may be large."""
    length = len(body)
    if header_length is not None:
        if not (header_length.isascii() and header_length.isdigit()) or int(header_length) > length:
            raise Problem(
                "bad-request", "Inference-Header-Content-Length is not the length of the JSON part."
            )
        length = int(header_length)
    text = body[:length]
    _verify_values(text, service)
    try:
        asked = InferRequest.model_validate_json(text)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"][:4])
        raise Problem("bad-request", f"It does not follow the protocol at “{where[:80]}”.") from error
    (tensor,) = asked.inputs
    if tensor.name != INPUT:
        raise Problem("bad-request", f"Expected the input “{INPUT}”.")
    if not tensor.shape or not 1 <= tensor.shape[0] <= service.limits.images:
        most = counted(service.limits.images, "image")
        raise Problem("too-many-images", f"Expected at most {most} in a request.")
    binary = body[length:] if "binary_data_size" in tensor.parameters else None
    if binary is not None and tensor.parameters["binary_data_size"] != len(binary):
        raise Problem("bad-request", "binary_data_size is not the number of bytes after the JSON part.")
    if tensor.datatype == "UINT8":
        return asked, _pixels(tensor, binary, service)
    if tensor.datatype != "BYTES":
        raise Problem("bad-request", "Expected images as BYTES or UINT8.")
    images = list(_elements(binary)) if binary is not None else [_decoded(one) for one in tensor.data or ()]
    if math.prod(tensor.shape) != len(images):
        raise Problem("bad-request", f"The shape does not fit {counted(len(images), 'image')}.")
    return asked, images


def _verify_values(text: bytes, service: Service) -> None:
    """Refuse JSON of many small values before it is parsed.

    Each value takes many times its bytes of memory, and no other request is answered during parsing.
    """
    most = math.prod(service.engine.description.input.size) * 3 + OTHER_VALUES
    if sum(text.count(mark) for mark in (b",", b"[", b"{")) > most:
        raise Problem(
            "too-many-bytes",
            f"The JSON part has more than {counted(most, 'value')}. Send a binary tensor, or files as BYTES.",
        )


def _pixels(tensor: InputTensor, binary: bytes | None, service: Service) -> Pixels:
    expected = [tensor.shape[0], *service.engine.description.input.size, 3]
    if tensor.shape != expected:
        raise Problem("bad-request", f"Expected UINT8 of the shape {expected}.")
    try:
        given = tensor.data or ()
        flat = np.asarray(given, np.uint8) if binary is None else np.frombuffer(binary, np.uint8)
        return flat.reshape(expected)
    except (ValueError, TypeError, OverflowError) as error:
        raise Problem("bad-request", "The data are not numbers from 0 to 255 of that shape.") from error


def _elements(binary: bytes) -> Iterator[bytes]:
    """Yield the elements of a BYTES tensor; the length of each comes before it."""
    place = 0
    while place < len(binary):
        if place + _LENGTH.size > len(binary):
            raise Problem("bad-request", "The binary tensor ends within the length of an element.")
        (length,) = _LENGTH.unpack_from(binary, place)
        place += _LENGTH.size
        if place + length > len(binary):
            raise Problem("bad-request", "The binary tensor ends within an element.")
        yield binary[place : place + length]
        place += length


def _decoded(element: object) -> bytes:
    try:
        return base64.b64decode(str(element), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Problem("bad-request", "An element of the tensor is not base64.") from error
