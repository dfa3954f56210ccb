"""Sharing the service: an address on the internet that leads to this machine, by way of ngrok.

Here: the conditions, the warning, and the tunnel. Not here: the service, which requires its token as always
(`guard`). Nothing of this is imported unless somebody asks to share.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from lesionwise.errors import LesionwiseError, import_extra

ACCOUNT: Final = "NGROK_AUTHTOKEN"
LEAST_TOKEN: Final = 16
"""Characters of a token that nobody on the internet guesses."""
WARNING: Final = (
    "Sharing opens this service to the internet. Every image and answer passes through the servers of "
    "ngrok, a company in the USA, which can read them. Whoever has the address and the token can use the "
    "service until you stop it. Do not send images of patients: no contract covers that, and this is not a "
    "medical device."
)


def verify_shareable(token: str | None, *, gallery: Path | None = None, allowed: bool = False) -> None:
    """Refuse to share a service that anybody could use, or a gallery without explicit permission.

    Args:
        gallery: The gallery that the service shows; it may be of patients.
        allowed: Whether the user allowed sharing the gallery.

    Raises:
        LesionwiseError: If the token is missing or could be guessed, or if ngrok's own token is missing.
    """
    if not token or len(token) < LEAST_TOKEN:
        found = f"one of {len(token)}" if token else "none"
        raise LesionwiseError(
            f"Expected a token of {LEAST_TOKEN} characters or more for a shared service but found {found}. "
            "Set LESIONWISE_TOKEN to a text that nobody guesses."
        )
    if gallery is not None and not allowed:
        raise LesionwiseError(
            f"{gallery}: would be shown to everyone with the address and the token, through the servers of "
            "ngrok. Leave --gallery out. If this can harm nobody in it and its licence permits it, add "
            "--share-gallery."
        )
    if not os.environ.get(ACCOUNT):
        raise LesionwiseError(
            f"Expected {ACCOUNT} to contain the token of your ngrok account, which sharing needs."
        )


@contextmanager
def shared(address: str) -> Iterator[str]:
    """Yield a public address that leads to the service inside the block."""
    ngrok = import_extra("ngrok")
    try:
        tunnel = ngrok.forward(address, authtoken=os.environ.get(ACCOUNT))
    except (ValueError, OSError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0].replace(os.environ.get(ACCOUNT) or "\n", "***")
        raise LesionwiseError(f"ngrok opens no tunnel: {reason}.") from None
    try:
        yield str(tunnel.url())
    finally:
        ngrok.disconnect(tunnel.url())
