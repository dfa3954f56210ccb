"""What the service answers, as records; the OpenAPI document is made from them.

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
    """Probability of each diagnosis; together 1. Calibrated if `GET /model` has `description.calibration`."""

    akiec: Part
    bcc: Part
    bkl: Part
    df: Part
    mel: Part
    nv: Part
    vasc: Part


class ViewBox(_Record):
    """The part of the upright image that the network looks at, as parts of its width and height."""

    left: Part
    top: Part
    width: Part
    height: Part


class SimilarLesion(_Record):
    """A lesion of the gallery that looks alike to the model."""

    dx: Annotated[Code, Field(description="Its diagnosis.")]
    distance: Annotated[float, Field(ge=0, description="One minus the cosine between the embeddings.")]
    percentile: Annotated[
        Part, Field(description="Of the gallery's own images, the part that has a nearer lesion.")
    ]
    age: Annotated[float | None, Field(description="In years, as below only in a gallery with pictures.")]
    sex: str | None
    localization: str | None
    licence: Annotated[str | None, Field(description="Of this picture, where each has its own.")]
    picture: Annotated[str | None, Field(description="JPEG as a data URI; null without pictures.")]


class GalleryBrief(_Record):
    """Where similar lesions come from."""

    images: int
    lesions: int
    pictures: Annotated[bool, Field(description="Whether it has pictures.")]
    licence: Annotated[str, Field(description="Of its images; empty if not stated.")]


class Result(_Record):
    """The answer to one image."""

    image: Annotated[int, Field(ge=0, description="Its place in the request, from 0.")]
    decision: Annotated[
        Literal["answer", "uncertain", "not_a_lesion_image"],
        Field(
            description="Whether there is an answer. “uncertain”: malignant and benign diagnoses both cannot "
            "be excluded. “not_a_lesion_image”: it is unlike those the model knows; disregard all else."
        ),
    ]
    top: Annotated[Code, Field(description="The likeliest diagnosis.")]
    probabilities: Probabilities
    malignant_probability: Annotated[Part, Field(description="Of akiec, bcc and mel together.")]
    prediction_set: Annotated[
        list[Code] | None,
        Field(description="What cannot be excluded, likeliest first; null if the model was not calibrated."),
    ]
    coverage: Annotated[
        Part | None, Field(description="Of the lesions of each diagnosis, the part whose set holds it.")
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
            description="PNG as a data URI, to be stretched over the whole upright image: what speaks for "
            "the likeliest diagnosis; null if it was not asked for or the model has none."
        ),
    ]
    similar: Annotated[
        list[SimilarLesion] | None,
        Field(
            description="The most similar lesions of the gallery, nearest first; null without a gallery, if "
            "not asked for, and for what is no lesion image."
        ),
    ]
    pictures: Annotated[int, Field(ge=1, description="That the file holds; the first is answered.")]
    view: Annotated[ViewBox | None, Field(description="Where the network looks; null if not known.")]
    elapsed_ms: Annotated[float, Field(ge=0, description="From the received request to this answer.")]


class ModelBrief(_Record):
    """Which model answered."""

    name: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="Of the bundle file.")]
    version: Annotated[str, Field(description="Of lesionwise that wrote the bundle.")]


class Predictions(_Record):
    """The answer to a request."""

    results: list[Result]
    model: ModelBrief


class Diagnosis(_Record):
    """One of the seven."""

    code: Code
    name: str
    malignant: Annotated[bool, Field(description="Malignant or pre-malignant.")]


class Bounds(_Record):
    """What one request may cost."""

    image_bytes: int
    request_bytes: int
    images: int
    pixels: int
    side_px: int


class ModelInfo(_Record):
    """All that is known of the model."""

    name: str
    sha256: str
    version: str
    diagnoses: list[Diagnosis]
    limits: Bounds
    precision: Annotated[Precision, Field(description="What the network is computed in here.")]
    gallery: Annotated[GalleryBrief | None, Field(description="null if the service has none.")]
    description: Annotated[Description, Field(description="What the bundle says about itself.")]


class Alive(_Record):
    """That the service runs."""

    status: Literal["ok"]


class Health(_Record):
    """That the service can answer."""

    status: Literal["ok"]
    model: str
    waiting: Annotated[int, Field(ge=0, description="Images in the service now.")]


class ProblemDocument(BaseModel):
    """Why a request was refused (RFC 9457)."""

    type: Annotated[str, Field(description="Which kind of problem; leads to its description.")]
    code: Annotated[str, Field(description="The same as one word, whatever the address.")]
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: Annotated[str, Field(description="What was found in this request.")]
    remedy: Annotated[str, Field(description="What to do about it.")]
    image: Annotated[int | None, Field(ge=0, description="The image at fault, from 0.")] = None
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
