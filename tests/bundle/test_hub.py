"""Sending to a model hub and fetching from it: the hub's own client against a stand-in for the hub."""

import base64
import json
import threading
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bundle.test_publishing import CARD
from lesionwise import load_model
from lesionwise.bundle.hub import fetch, push
from lesionwise.bundle.load import read_bundle
from lesionwise.bundle.publishing import publish
from lesionwise.errors import BundleError
from serve.drawn_model import write_bundle

constants = pytest.importorskip("huggingface_hub.constants", reason="the extra hub is not installed")


def digest(content: bytes) -> str:
    """Return forty digits, as Git's names have them."""
    return sha256(content).hexdigest()[:40]


class Hub(ThreadingHTTPServer):
    """A hub that keeps files in memory: repositories by kind and name, each a list of commits."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repos: dict[str, dict[str, dict[str, bytes]]] = {}
        self.created: list[dict[str, object]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def commit(self, repo: str, files: dict[str, bytes]) -> str:
        commits = self.repos[repo]
        commit = digest(f"{repo}{len(commits)}".encode())
        commits[commit] = {**(list(commits.values())[-1] if commits else {}), **files}
        return commit


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts[0] == "api":
            repo = f"model/{parts[2]}/{parts[3]}"
            revision = parts[5] if len(parts) > 5 else "main"
        else:
            repo, revision = f"model/{parts[0]}/{parts[1]}", parts[3]
        commits = self.server.repos.get(repo, {})
        commit = next(iter(reversed(commits)), "") if revision == "main" else revision
        if commit not in commits:
            self._answer(404, b"{}", {"X-Error-Code": "RevisionNotFound" if commits else "RepoNotFound"})
            return
        files = commits[commit]
        if parts[0] != "api":
            content = files[parts[4]]
            self._answer(200, content, {"ETag": f'"{digest(content)}"', "X-Repo-Commit": commit})
        elif "tree" in parts:
            rows = [{"type": "file", "path": p, "size": len(c), "oid": digest(c)} for p, c in files.items()]
            self._json(rows)
        else:
            self._json({"id": repo[6:], "sha": commit, "siblings": [{"rfilename": path} for path in files]})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        parts = self.path.split("?")[0].strip("/").split("/")
        assert self.headers["Authorization"] == "Bearer hf_drawn"
        if parts[1] == "validate-yaml":
            self._json({"errors": [], "warnings": []})
            return
        if parts[1:] == ["repos", "create"]:
            asked = json.loads(body)
            self.server.created.append(asked)
            kind = asked.get("type") or "model"
            name = f"{asked['organization']}/{asked['name']}"
            self.server.repos.setdefault(f"{kind}/{name}", {})
            self._json({"url": f"{self.server.address}/{'' if kind == 'model' else 'spaces/'}{name}"})
            return
        repo = f"{parts[1].removesuffix('s')}/{parts[2]}/{parts[3]}"
        if parts[4] == "preupload":
            asked = json.loads(body)["files"]
            self._json(
                {
                    "files": [
                        {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False} for one in asked
                    ]
                }
            )
        else:
            lines = [json.loads(line) for line in body.splitlines()]
            sent = {
                one["value"]["path"]: base64.b64decode(one["value"]["content"])
                for one in lines
                if one["key"] == "file"
            }
            commit = self.server.commit(repo, sent)
            place = repo.removeprefix("model/").replace("space/", "spaces/")
            self._json({"commitUrl": f"{self.server.address}/{place}/commit/{commit}", "commitOid": commit})

    def _json(self, value: object) -> None:
        self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    server = Hub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    monkeypatch.setattr(  # made from the endpoint when the client is imported
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        f"{server.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", "hf_drawn")
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A folder as `publish` makes it, with a page."""
    model = write_bundle(tmp_path / "m.onnx", card=CARD, licence="CC BY-NC 4.0")
    return publish(model, tmp_path / "hub", page=lambda _: {"index.html": b"<!doctype html>"}).folder


def test_what_was_sent_is_loaded_again_and_the_page_is_a_static_space(hub: Hub, published: Path) -> None:
    addresses = push(published, "clinic/small")
    assert len(addresses) == 2
    assert [(one.get("type", "model"), one.get("sdk")) for one in hub.created] == [
        ("model", None),
        ("space", "static"),
    ]
    assert [one.get("private", one.get("visibility")) for one in hub.created] in (
        [True, True],
        ["private"] * 2,
    )
    [files] = hub.repos["model/clinic/small"].values()
    assert sorted(files) == ["LICENSE", "README.md", "SHA256SUMS", "model.onnx"]
    [space] = hub.repos["space/clinic/small"].values()
    assert sorted(space) == ["LICENSE", "SHA256SUMS", "index.html"]
    engine = load_model("hub:clinic/small")
    assert engine.bundle.sha256 == read_bundle(published / "model.onnx").sha256


def test_a_revision_stays_as_it_was_when_a_newer_one_is_sent(hub: Hub, published: Path) -> None:
    push(published, "clinic/small")
    [first] = hub.repos["model/clinic/small"]
    model = (published / "model.onnx").read_bytes()
    hub.commit("model/clinic/small", {"model.onnx": b"another", "SHA256SUMS": b""})
    assert fetch(f"hub:clinic/small@{first}").read_bytes() == model
    assert fetch("hub:clinic/small").read_bytes() == b"another"


@pytest.mark.usefixtures("hub")
def test_without_a_network_a_bundle_that_was_fetched_before_is_found(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(published, "clinic/small")
    there = fetch("hub:clinic/small")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert fetch("hub:clinic/small") == there
    with pytest.raises(
        BundleError, match=r"hub:clinic/other: cannot be fetched: .*pass the path of the file"
    ):
        fetch("hub:clinic/other")


def test_a_file_that_is_not_the_one_of_its_checksums_is_refused(hub: Hub, published: Path) -> None:
    push(published, "clinic/small")
    hub.commit("model/clinic/small", {"model.onnx": b"another"})
    with pytest.raises(BundleError, match="does not match the checksum in its SHA256SUMS"):
        fetch("hub:clinic/small")


@pytest.mark.parametrize("name", ["hub:small", "hub:clinic/small/model.onnx", "hub:", "hub:a/b@"])
def test_a_name_of_another_form_is_refused(name: str) -> None:
    with pytest.raises(BundleError, match='expected "owner/name"'):
        fetch(name)


@pytest.mark.usefixtures("hub")
def test_what_is_not_there_is_named(published: Path) -> None:
    with pytest.raises(BundleError, match=r"hub:clinic/small: cannot be fetched"):
        fetch("hub:clinic/small")
    push(published, "clinic/small")
    with pytest.raises(BundleError, match=r"hub:clinic/small@v9: cannot be fetched"):
        fetch("hub:clinic/small@v9")
