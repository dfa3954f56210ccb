"""Bundles at a model hub, through the hub's own client, huggingface_hub.

Here: fetching a bundle by its name, and sending a folder of `publishing`. Not here: accounts and tokens, for
which the client has commands.
"""

import re
from pathlib import Path
from typing import Any, Final

from lesionwise.bundle.texts import printable
from lesionwise.errors import BundleError, import_extra
from lesionwise.files import file_sha256

PREFIX: Final = "hub:"
MODEL: Final = "model.onnx"
SUMS: Final = "SHA256SUMS"
PAGE: Final = "page"
_NAME: Final = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")


def fetch(name: str) -> Path:
    """Return the bundle `hub:owner/name` or `hub:owner/name@revision`, in the client's own cache.

    A revision is a commit, tag or branch; the file of a commit never changes. Without a network, earlier
    downloads are used.

    Raises:
        BundleError: If there is no such name, it cannot be reached, or the file does not match its checksum.
        MissingExtraError: If the client is not installed.
    """
    repo, revision = _parse(name.removeprefix(PREFIX))
    client = _client()
    try:
        folder = Path(client.snapshot_download(repo, revision=revision, allow_patterns=[MODEL, SUMS]))
    except Exception as error:  # the errors of its HTTP library have no documented base
        raise BundleError(
            f"{name}: cannot be fetched: {_reason(error)}. Without a network, pass the path of the file."
        ) from error
    path = folder / MODEL
    if not path.is_file():
        raise BundleError(f'{name}: has no {MODEL}. Expected what "lesionwise bundle publish" writes.')
    sums = folder / SUMS
    expected = re.search(rf"^(\w+)  {MODEL}$", sums.read_text() if sums.is_file() else "", re.MULTILINE)
    if expected and file_sha256(path) != expected[1]:
        raise BundleError(f"{name}: its {MODEL} does not match the checksum in its {SUMS}. Fetch it again.")
    return path


def push(folder: Path, name: str) -> tuple[str, ...]:
    """Send a folder of `publish`, and return the addresses of the model and of the page, if there is one.

    A new model or space is private until its owner makes it public. The client provides the token.

    Args:
        name: `owner/name`.
    """
    repo, revision = _parse(name)
    if revision:
        raise BundleError(f'{name}: expected "owner/name" without a revision; the hub makes a new one.')
    api = _client().HfApi()
    kinds: dict[str, dict[str, Any]] = {"model": {}}
    if (folder / PAGE).is_dir():
        kinds["space"] = {"space_sdk": "static"}
    addresses = []
    try:
        for kind, options in kinds.items():
            api.create_repo(repo, repo_type=kind, private=True, exist_ok=True, **options)
            made = api.upload_folder(
                repo_id=repo,
                repo_type=kind,
                folder_path=folder if kind == "model" else folder / PAGE,
                ignore_patterns=[f"{PAGE}/**"] if kind == "model" else None,
                commit_message="lesionwise bundle publish",
            )
            addresses.append(str(made.commit_url))
    except Exception as error:
        raise BundleError(
            f"{name}: could not be sent: {_reason(error)}. {folder} is complete: send it later, or with the "
            "hub's own tool."
        ) from error
    return tuple(addresses)


def _parse(name: str) -> tuple[str, str | None]:
    found = _NAME.fullmatch(name)
    if not found:
        raise BundleError(f'{printable(name)}: expected "owner/name" (or "owner/name@revision" to load).')
    return found["repo"], found["revision"]


def _client() -> Any:  # noqa: ANN401 (an extra)
    return import_extra("huggingface_hub")  # takes seconds


def _reason(error: Exception) -> str:
    return printable((str(error).strip().splitlines() or [type(error).__name__])[0].rstrip("."))
