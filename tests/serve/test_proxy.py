"""Behind a proxy: under a path of its own, with TLS, and with headers that nobody checked."""

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from urllib.parse import urljoin

import httpx2
import pytest
from fastapi.testclient import TestClient

from serve.drawn_model import DARK, picture

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
CONFIGURATION = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  client_max_body_size 64m;
  server {{
    listen 127.0.0.1:{port};
    location /derm/ {{
      proxy_pass {service}/;
      proxy_set_header X-Forwarded-Proto https;
      proxy_set_header X-Forwarded-Host example.org;
      proxy_set_header Forwarded "proto=https;host=example.org";
    }}
  }}
}}
"""


@pytest.fixture(scope="module")
def proxied(live: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the service under /derm/ of a real nginx."""
    if NGINX is None:
        pytest.skip("there is no nginx here; Debian's package is called nginx-light")
    folder = tmp_path_factory.mktemp("nginx")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "nginx.conf").write_text(CONFIGURATION.format(folder=folder, port=port, service=live))
    process = subprocess.Popen([NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf")])
    address = f"http://127.0.0.1:{port}/derm/"
    try:
        for _ in range(100):
            try:
                httpx2.get(f"{address}live")
                break
            except httpx2.TransportError:
                time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.wait(10)


def links(html: str) -> set[str]:
    return {
        link for link in re.findall(r'(?:href|src|action)="([^"#]+)', html) if not link.startswith("data:")
    }


@pytest.mark.parametrize("page", ["", "docs", "?example=0", "nothing/here/at/all"])
def test_every_link_stays_under_the_path_of_the_proxy(proxied: str, page: str) -> None:
    opened = httpx2.get(proxied + page, headers={"Accept": "text/html"})
    assert opened.headers["content-type"].startswith("text/html")
    found = links(opened.text)
    assert len(found) > 3
    for link in found:
        target = urljoin(proxied + page, link)
        assert target.startswith(proxied), link
        assert httpx2.get(target).status_code == 200, link


def test_the_form_and_the_api_answer_under_the_path_of_the_proxy(proxied: str) -> None:
    form = re.search(r'<form[^>]* action="([^"]*)"', httpx2.get(proxied).text)
    assert form
    for address in (urljoin(proxied, form[1]), f"{proxied}predict"):
        answer = httpx2.post(address, files={"image": picture(DARK)}, timeout=60)
        assert answer.status_code == 200
        assert "mel" in answer.text


def test_the_openapi_document_leads_back_to_the_path_of_the_proxy(proxied: str) -> None:
    address = f"{proxied}openapi.json"
    (server,) = httpx2.get(address).json()["servers"]
    assert urljoin(address, server["url"]) == proxied


@pytest.mark.parametrize("path", ["predict", "nothing", "nothing/here"])
def test_the_type_of_a_problem_leads_to_its_description(proxied: str, path: str) -> None:
    problem = httpx2.post(proxied + path).json()
    page, _, anchor = urljoin(proxied + path, problem["type"]).partition("#")
    assert page == f"{proxied}docs"
    assert anchor == problem["code"]
    assert f'id="{anchor}"' in httpx2.get(page).text


@pytest.mark.parametrize("path", ["/predict/", "/docs/", "/model/", "/static", "/live/"])
def test_a_trailing_slash_is_never_redirected(client: TestClient, path: str) -> None:
    answer = client.get(path, follow_redirects=False)
    assert answer.status_code == 404
    assert "location" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/model", "/nothing"])
def test_what_a_client_claims_about_a_proxy_changes_nothing(client: TestClient, path: str) -> None:
    claims = {
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "gopher",
        "X-Forwarded-Prefix": "/evil",
        "X-Forwarded-For": "192.0.2.7",
        "Forwarded": "host=evil.example;proto=gopher",
    }
    plain, claimed = client.get(path), client.get(path, headers=claims)
    assert claimed.content == plain.content
    assert "evil" not in str(claimed.headers)


def test_a_browser_gets_a_page_for_a_wrong_address_and_a_program_a_problem(client: TestClient) -> None:
    shown = client.get("/nothing/here", headers={"Accept": "text/html,application/xhtml+xml"})
    assert shown.status_code == 404
    assert "<h1>" in shown.text
    assert 'href="../"' in shown.text
    assert client.get("/nothing/here").json()["code"] == "not-found"
