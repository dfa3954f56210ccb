"""Refusals: problem documents as RFC 9457 defines them.

Here: the list of problems, the exception, the response. Not here: finding them (`uploads`, `decoding`).

References:
    https://www.rfc-editor.org/rfc/rfc9457
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from starlette.responses import JSONResponse

MEDIA_TYPE: Final = "application/problem+json"
HERE: Final = "./"
"""From an address at the top of the service to its page. All links are relative, so that a proxy may put the
service under its own path without any setting."""
RETRY_AFTER_S: Final = 1


class Kind(NamedTuple):
    """One kind of problem: HTTP status, title, and what to do."""

    status: int
    title: str
    remedy: str


KINDS: Final[Mapping[str, Kind]] = {
    "bad-request": Kind(
        400, "The request cannot be read", "Compare it with the description of this address at /docs."
    ),
    "bad-name": Kind(
        400, "The name of a file is not acceptable", "Send a plain name without a path, or none at all."
    ),
    "no-token": Kind(
        401,
        "A token is needed",
        "Send “Authorization: Bearer TOKEN”, or give the token as the password when the browser asks.",
    ),
    "not-found": Kind(404, "There is nothing here", "The addresses are listed at /docs."),
    "bad-method": Kind(405, "This address does not do that", "The addresses are listed at /docs."),
    "too-slow": Kind(408, "The request took too long to arrive", "Send it again over a faster connection."),
    "too-many-bytes": Kind(413, "Too many bytes", "Send a smaller file, or fewer files."),
    "too-many-images": Kind(413, "Too many images in one request", "Send them in several requests."),
    "too-long-head": Kind(431, "The head of the request is too long", "Send fewer and shorter headers."),
    "not-multipart": Kind(
        415, "The request is not multipart/form-data", "Send images as curl -F image=@FILE does."
    ),
    "not-an-image": Kind(
        415,
        "The file is not an image of a known format",
        "Send a plain JPEG, PNG, WebP, AVIF, TIFF or BMP file.",
    ),
    "no-image": Kind(
        422, "There is no image in the request", "Put at least one file into the field “image”."
    ),
    "bad-metadata": Kind(
        422,
        "The metadata of the images cannot be used",
        "Send one of the values that GET /model lists under description.metadata, or leave the field out.",
    ),
    "damaged-image": Kind(422, "The image is damaged", "Save or export it again."),
    "image-size": Kind(422, "The image has too many or too few pixels", "Send it in another size."),
    "decoding-time": Kind(422, "The image takes too long to decode", "Save it as a plain baseline JPEG."),
    "internal": Kind(500, "The service failed", "Try again. The log of the service shows the place."),
    "decoder-failed": Kind(
        503,
        "No decoder could finish this image",
        "Wait as long as Retry-After says. If it fails again, save the image as a plain baseline JPEG.",
    ),
    "not-ready": Kind(503, "The service is not ready", "Send requests elsewhere until it is ready."),
    "busy": Kind(503, "The service has too much work", "Wait as long as Retry-After says."),
}


def base_of(path: str) -> str:
    """Return the relative path from an address of the service to its top.

    Examples:
        >>> base_of("/predict"), base_of("/v2/models/best")
        ('./', '../../')
    """
    return "../" * (path.count("/") - 1) or HERE


class Problem(Exception):  # noqa: N818 (RFC 9457's word)
    """A request that is refused.

    Args:
        code: Key of `KINDS`.
        detail: The finding in this request; never any of its content or file names.
        image: Index of the image at fault, if it is one of several.
    """

    def __init__(
        self, code: str, detail: str, *, image: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.image = image
        self.headers = dict(headers or {})
        if self.kind.status == HTTPStatus.SERVICE_UNAVAILABLE:
            self.headers.setdefault("Retry-After", str(RETRY_AFTER_S))

    @property
    def kind(self) -> Kind:
        """Status, title and remedy."""
        return KINDS[self.code]

    def at(self, image: int) -> "Problem":
        """Return the same problem for one image of a request."""
        return Problem(self.code, self.detail, image=image, headers=self.headers)

    def document(self, base: str = HERE) -> dict[str, Any]:
        """Return the members of the problem document.

        Args:
            base: Path from the requested address to the top of the service.
        """
        kind = self.kind
        return {
            "type": f"{base}docs#{self.code}",
            "code": self.code,
            "title": kind.title,
            "status": kind.status,
            "detail": self.detail,
            "remedy": kind.remedy,
            **({} if self.image is None else {"image": self.image}),
        }

    def response(self, base: str = HERE, *, names_error: bool = False) -> JSONResponse:
        """Return the response with the document.

        Args:
            names_error: Whether to add the member `error` of the v2 protocol.
        """
        document = self.document(base) | ({"error": self.detail} if names_error else {})
        return JSONResponse(document, self.kind.status, self.headers, MEDIA_TYPE)
