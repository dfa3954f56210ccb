import json
import os
import platform
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx2
import pytest

from lesionwise.bundle.load import read_bundle, verify_pinned
from lesionwise.errors import BundleError, ImageError, LesionwiseError
from lesionwise.serve.examples import read_examples
from lesionwise.serve.limits import Limits
from lesionwise.serve.server import address_of, exposure_warning, open_socket
from serve.drawn_model import DARK, picture

NO_NETWORK = """
import socket
_connect = socket.socket.connect
def connect(self, address):
    if self.family == socket.AF_UNIX or str(address[0]) in ("127.0.0.1", "::1", "localhost"):
        return _connect(self, address)
    open({witness!r}, "a").write(repr(address))
    raise OSError("no network here")
socket.socket.connect = socket.socket.connect_ex = connect
"""


COUNT_POOLS = """
import ctypes, threading
from lesionwise.serve.server import share_memory_pools
share_memory_pools()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
both = threading.Barrier(9)
def work():
    libc.malloc(5000)
    both.wait()
    both.wait()
for _ in range(8):
    threading.Thread(target=work).start()
both.wait()
out = ctypes.c_void_p(libc.fopen(b"/dev/stdout", b"w"))
libc.malloc_info(0, out)
libc.fclose(out)
both.wait()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has pools of memory by thread")
def test_eight_threads_share_two_pools_of_memory() -> None:
    shown = subprocess.run([sys.executable, "-c", COUNT_POOLS], check=True, capture_output=True, text=True)
    assert 1 <= shown.stdout.count("<heap nr=") <= 2  # nine without the call


def test_a_warning_is_given_where_others_can_reach_the_service() -> None:
    with open_socket("127.0.0.1", 0) as near, open_socket("0.0.0.0", 0) as far:  # noqa: S104 (to be warned of)
        assert exposure_warning(near, token=False) is None
        warning = exposure_warning(far, token=False)
        assert warning is not None
        assert "LESIONWISE_TOKEN" in warning
        assert "LESIONWISE_TOKEN" not in str(exposure_warning(far, token=True))
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address_of(near))


def test_a_port_in_use_is_said() -> None:
    with open_socket("127.0.0.1", 0) as taken:
        taken.listen()
        with pytest.raises(LesionwiseError, match="Pass another --host or --port"):
            open_socket("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(LesionwiseError, match="cannot listen there"):
        open_socket("256.0.0.1", 0)


def test_examples_are_images_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="found none"):
        read_examples(tmp_path, Limits())
    with pytest.raises(ImageError, match="expected a folder"):
        read_examples(tmp_path / "nothing", Limits())
    for name in ("b_2.png", "a_1.jpg", "notes.txt"):
        (tmp_path / name).write_bytes(picture())
    assert [example.name for example in read_examples(tmp_path, Limits())] == ["a 1", "b 2"]
    (tmp_path / "c.jpg").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"c\.jpg: Its first bytes"):
        read_examples(tmp_path, Limits())


@pytest.mark.skipif(sys.platform == "win32", reason="signals and folders are those of Unix")
def test_the_command_serves_offline_leaves_nothing_and_ends_politely(
    tmp_path: Path, bundle_file: Path
) -> None:
    home, work, witness = tmp_path / "home", tmp_path / "work", tmp_path / "witness"
    for folder in (home, work, tmp_path / "site"):
        folder.mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(NO_NETWORK.format(witness=str(witness)))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(work),
        "PYTHONPATH": str(tmp_path / "site"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "http_proxy": "http://192.0.2.1:1",
    }
    command = [sys.executable, "-m", "lesionwise", "serve", "--model", str(bundle_file), "--port", "0"]
    process = subprocess.Popen(
        command, cwd=work, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        address = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert address
        with httpx2.Client(base_url=address[0], trust_env=False) as client:
            answer = client.post("/predict", files={"image": ("secret.jpg", picture(DARK))})
            assert answer.json()["results"][0]["top"] == "mel"
            assert (
                client.post("/", files={"image": picture(size=(2000, 1500), form="BMP")}).status_code == 200
            )
    finally:
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Stopped." in log
    assert "secret" not in log
    assert not witness.exists(), witness.read_text()
    assert not [*home.rglob("*"), *work.rglob("*")]


@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of Unix")
def test_what_was_begun_is_answered_before_the_service_ends(tmp_path: Path, bundle_file: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "lesionwise",
        "serve",
        "--model",
        str(bundle_file),
        "--port",
        "0",
        "--quiet",
    ]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    address = re.search(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
    assert address
    part = b'--b\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\n'
    body = part + picture() + b"\r\n--b--\r\n"
    lines = ["POST /predict HTTP/1.1", "Host: x", "Content-Type: multipart/form-data; boundary=b"]
    head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""])
    with socket.create_connection(("127.0.0.1", int(address[1])), timeout=20) as connection:
        connection.sendall(head.encode() + body[:100])
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        connection.sendall(body[100:])
        answer = connection.recv(100)
    process.wait(20)
    process.stdout.close()
    assert answer.startswith(b"HTTP/1.1 200")


@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of Unix")
def test_a_script_reads_address_and_model_as_json(tmp_path: Path, bundle_file: Path) -> None:
    options = ["--model", str(bundle_file), "--port", "0", "--json", "--quiet", "--drain", "0"]
    command = [sys.executable, "-m", "lesionwise", "serve", *options]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    silent = threading.Timer(60, process.kill)  # then the lines end
    silent.start()
    lines = [process.stdout.readline()]
    while lines[-1] not in ("}\n", ""):
        lines.append(process.stdout.readline())
    silent.cancel()
    process.send_signal(signal.SIGTERM)
    process.wait(20)
    process.stdout.close()
    found = json.loads("".join(lines))
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", found["address"])
    assert found["shared"] is None
    assert found["model"]["sha256"] == read_bundle(bundle_file).sha256
    assert found["precision"] == "fp32"


def test_only_the_model_that_was_pinned_is_served(bundle_file: Path) -> None:
    bundle = read_bundle(bundle_file)
    verify_pinned(bundle, bundle.sha256.upper())
    with pytest.raises(BundleError, match=r"expected the SHA-256 0+ but found"):
        verify_pinned(bundle, "0" * 64)
    command = [
        sys.executable,
        "-m",
        "lesionwise",
        "serve",
        "--model",
        str(bundle_file),
        "--model-sha256",
        "00",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "expected the SHA-256 00" in " ".join(done.stderr.split())
