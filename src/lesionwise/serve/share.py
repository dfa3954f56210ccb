"""Sharing the service: an address on the internet that leads to this machine, by way of ngrok.

Here: what must be so before, the warning, and the tunnel. Not here: the service, which asks for its token
as always (`guard`). Nothing of this is imported unless somebody asks to share.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from lesionwise.errors import LesionwiseError, MissingExtraError

if TYPE_CHECKING:
    from types import ModuleType

ACCOUNT: Final = "NGROK_AUTHTOKEN"
LEAST_TOKEN: Final = 16
"""Characters of a token that nobody guesses from the internet."""
WARNING: Final = (
    "Sharing opens this service to the internet. Every image and answer passes through the servers of "
    "ngrok, a company in the USA, which can read them; whoever has the address and the token can use the "
    "service until you stop it. Do not send images of patients: no contract covers that, and this is no "
    "medical device."
)


def verify_shareable(token: str | None, *, gallery: Path | None = None, told: bool = False) -> None:
    """Refuse to share a service that anybody could use, or a gallery without being asked to.

    Args:
        gallery: The gallery that the service shows; it may be of patients.
        told: Whether the user said that the gallery may be shared.

    Raises:
        LesionwiseError: If there is none, or one that could be guessed; or if ngrok's own is missing.
    """
    if not token or len(token) < LEAST_TOKEN:
        found = f"one of {len(token)}" if token else "none"
        raise LesionwiseError(
            f"Expected a token of {LEAST_TOKEN} characters or more for a shared service but found {found}. "
            "Set LESIONWISE_TOKEN to something that nobody guesses."
        )
    if gallery is not None and not told:
        raise LesionwiseError(
            f"{gallery}: would be shown to whoever has the address and the token, through the servers of "
            "ngrok. Leave --gallery out; or, if nobody in it can be harmed and its licence permits it, add "
            "--share-gallery."
        )
    if not os.environ.get(ACCOUNT):
        raise LesionwiseError(
            f"Expected {ACCOUNT} to hold the token of your ngrok account, without which nothing is shared."
        )


@contextmanager
def shared(address: str) -> Iterator[str]:
    """Yield a public address that leads to the service for the length of the block."""
    ngrok = _import_ngrok()
    try:
        tunnel = ngrok.forward(address, authtoken=os.environ.get(ACCOUNT))
    except (ValueError, OSError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0].replace(os.environ.get(ACCOUNT) or "\n", "***")
        raise LesionwiseError(f"ngrok opens no tunnel: {reason}.") from None
    try:
        yield str(tunnel.url())
    finally:
        ngrok.disconnect(tunnel.url())


def _import_ngrok() -> "ModuleType":
    try:
        import ngrok  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError as error:
        raise MissingExtraError("share", "ngrok") from error
    return cast("ModuleType", ngrok)
