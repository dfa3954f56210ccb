"""The answers of the service as records, from which the OpenAPI document is made.

Here: fields, their meaning, examples. Not here: filling them (`service`).
"""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from lesionwise.bundle.description import Description, Precision

Code = Literal["akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"]
Part = Annotated[float, Field(ge=0, le=1)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Probabilities(_Record):
    """Probability of each diagnosis; the sum is 1. Calibrated if `GET /model` has a `calibration`."""

    akiec: Part
    bcc: Part
    bkl: Part
    df: Part
    mel: Part
    nv: Part
    vasc: Part


class ViewBox(_Record):
    """The part of the upright image that the network looks at, as fractions of its width and height."""

    left: Part
    top: Part
    width: Part
    height: Part


class SimilarLesion(_Record):
    """A lesion of the gallery that is similar to the image for the model."""

    dx: Annotated[Code, Field(description="Its diagnosis.")]
    distance: Annotated[float, Field(ge=0, description="One minus the cosine between the embeddings.")]
    percentile: Annotated[
        Part, Field(description="Part of the gallery's own images that have a nearer lesion.")
    ]
    age: Annotated[float | None, Field(description="In years. Null, like the next two, without pictures.")]
    sex: str | None
    localization: str | None
    licence: Annotated[str | None, Field(description="Of this picture, if each picture has its own.")]
    picture: Annotated[str | None, Field(description="JPEG as a data URI; null without pictures.")]


class GalleryBrief(_Record):
    """The gallery of the similar lesions."""

    images: int
    lesions: int
    pictures: Annotated[bool, Field(description="Whether it has pictures.")]
    licence: Annotated[str, Field(description="Of its images; empty if not stated.")]


class Result(_Record):
    """The answer to one image."""

    image: Annotated[int, Field(ge=0, description="Its number in the request, from 0.")]
    decision: Annotated[
        Literal["answer", "uncertain", "not_a_lesion_image"],
        Field(
            description="Whether there is an answer. “uncertain”: neither malignant nor benign diagnoses can "
            "be excluded. “not_a_lesion_image”: it is unlike the images that the model knows; disregard the "
            "other values."
        ),
    ]
    top: Annotated[Code, Field(description="The most likely diagnosis.")]
    probabilities: Probabilities
    malignant_probability: Annotated[Part, Field(description="Of akiec, bcc and mel together.")]
    prediction_set: Annotated[
        list[Code] | None,
        Field(description="Diagnoses that cannot be excluded, most likely first; null without calibration."),
    ]
    coverage: Annotated[
        Part | None, Field(description="Part of the lesions of each diagnosis whose set contains it.")
    ]
    ood_score: Annotated[
        float | None,
        Field(description="How unlike a lesion image it is; null if the model has no such score."),
    ]
    above_melanoma_threshold: Annotated[
        bool | None,
        Field(description="Whether melanoma is likely enough to be reported; null if there is no threshold."),
    ]
    heatmap: Annotated[
        str | None,
        Field(
            description="PNG as a data URI, to be stretched over the whole upright image: the evidence for "
            "the most likely diagnosis; null if not requested, or if the model has none."
        ),
    ]
    similar: Annotated[
        list[SimilarLesion] | None,
        Field(
            description="The most similar lesions of the gallery, nearest first; null without a gallery, if "
            "not requested, and for a picture that is not a lesion image."
        ),
    ]
    pictures: Annotated[
        int, Field(ge=1, description="Number of pictures in the file; the first is answered.")
    ]
    view: Annotated[ViewBox | None, Field(description="Where the network looks; null if unknown.")]
    elapsed_ms: Annotated[float, Field(ge=0, description="From receiving the request to this answer.")]


class ModelBrief(_Record):
    """The model that answered."""

    name: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="Of the bundle file.")]
    version: Annotated[str, Field(description="Version of lesionwise that wrote the bundle.")]


class Predictions(_Record):
    """The answers to a request."""

    results: list[Result]
    model: ModelBrief


class Diagnosis(_Record):
    """One of the seven diagnoses."""

    code: Code
    name: str
    malignant: Annotated[bool, Field(description="Malignant or pre-malignant.")]


class Bounds(_Record):
    """The limits of one request."""

    image_bytes: int
    request_bytes: int
    images: int
    pixels: int
    side_px: int


class ModelInfo(ModelBrief):
    """Everything that is known about the model."""

    diagnoses: list[Diagnosis]
    limits: Bounds
    precision: Annotated[Precision, Field(description="Number format of the computation here.")]
    margin: Annotated[
        float | None,
        Field(
            description="Images that are at most this far, in log-odds, from another answer are computed "
            "again in fp32; null if none are."
        ),
    ]
    gallery: Annotated[GalleryBrief | None, Field(description="Null if the service has none.")]
    description: Annotated[Description, Field(description="The bundle's description of itself.")]


class Alive(_Record):
    """The service runs."""

    status: Literal["ok"]


class Health(_Record):
    """The service can answer."""

    status: Literal["ok"]
    model: str
    waiting: Annotated[int, Field(ge=0, description="Number of images in the service.")]


class ProblemDocument(BaseModel):
    """Why a request was refused (RFC 9457)."""

    type: Annotated[str, Field(description="Kind of problem; links to its description.")]
    code: Annotated[str, Field(description="The same as one word, whatever the address.")]
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: Annotated[str, Field(description="The finding in this request.")]
    remedy: Annotated[str, Field(description="What to do about it.")]
    image: Annotated[int | None, Field(ge=0, description="Number of the image at fault, from 0.")] = None
    error: Annotated[str | None, Field(description="The same as detail; only below /v2.")] = None


EXAMPLE: Final[dict[str, Any]] = {
    "results": [
        {
            "image": 0,
            "decision": "uncertain",
            "top": "mel",
            "probabilities": {
                "akiec": 0.004,
                "bcc": 0.009,
                "bkl": 0.148,
                "df": 0.003,
                "mel": 0.697,
                "nv": 0.136,
                "vasc": 0.003,
            },
            "malignant_probability": 0.71,
            "prediction_set": ["mel", "bkl"],
            "coverage": 0.9,
            "ood_score": 0.31,
            "above_melanoma_threshold": True,
            "heatmap": "data:image/png;base64,iVBORw0KGgo…",
            "similar": [
                {
                    "dx": "mel",
                    "distance": 0.0713,
                    "percentile": 0.24,
                    "age": 65.0,
                    "sex": "male",
                    "localization": "back",
                    "licence": None,
                    "picture": "data:image/jpeg;base64,/9j/4AAQ…",
                }
            ],
            "pictures": 1,
            "view": {"left": 0.15, "top": 0.15, "width": 0.7, "height": 0.7},
            "elapsed_ms": 11.8,
        }
    ],
    "model": {"name": "small", "sha256": "0" * 64, "version": "0.1.0"},
}
