import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

from lesionwise.bundle.description import ImageInput
from lesionwise.data.images import read_image
from lesionwise.serve import decoder, decoding, uploads
from lesionwise.serve.decoding import Decoders
from lesionwise.serve.limits import Limits
from lesionwise.serve.problems import Problem
from lesionwise.serve.uploads import verify_kind
from serve.drawn_model import HEIGHT, WIDTH, picture

RULE = ImageInput(height=HEIGHT, width=WIDTH)


def run(act: Callable[[Decoders], Awaitable[None]], limits: Limits | None = None) -> None:
    """Act on one decoder."""

    async def session() -> None:
        decoders = Decoders(RULE, limits or Limits(), 1)
        await decoders.start()
        try:
            await act(decoders)
        finally:
            await decoders.stop()

    asyncio.run(session())


def only(decoders: Decoders) -> int:
    """The number of the one process."""
    (process,) = decoders.processes
    return process


def test_a_picture_is_what_training_would_have_read() -> None:
    content = picture(size=(333, 200))

    async def act(decoders: Decoders) -> None:
        found = await decoders.decode(content, preview=True)
        assert (found.pixels == read_image(content, (HEIGHT, WIDTH))).all()
        assert (found.width, found.height) == (333, 200)
        assert found.preview.startswith(b"\xff\xd8")

    run(act)


def test_a_preview_is_upright_and_without_metadata() -> None:
    from PIL import Image  # noqa: PLC0415

    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "patient 4711"
    content = picture(size=(300, 200), exif=exif)
    assert b"patient 4711" in content

    async def act(decoders: Decoders) -> None:
        found = await decoders.decode(content, preview=True)
        assert (found.width, found.height) == (200, 300)
        assert b"patient" not in found.preview
        assert b"Exif" not in found.preview

    run(act)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of Unix")
@pytest.mark.parametrize("sent", ["SIGSTOP", "SIGKILL", "SIGSEGV"])
def test_a_good_picture_survives_the_decoder_that_held_it(sent: str) -> None:
    async def act(decoders: Decoders) -> None:
        before = only(decoders)
        os.kill(before, getattr(signal, sent))
        assert (await decoders.decode(picture())).width == 160
        assert only(decoders) != before

    run(act)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of Unix")
def test_a_picture_that_two_decoders_die_of_is_not_called_damaged() -> None:
    async def act(decoders: Decoders) -> None:
        large = picture(size=(4000, 4000), form="PNG")
        decoding = asyncio.create_task(decoders.decode(large))
        killed: set[int] = set()
        while not decoding.done():
            for pid in set(decoders.processes) - killed if decoders.at_work else ():
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
            await asyncio.sleep(0.005)
        with pytest.raises(Problem) as caught:
            decoding.result()
        assert caught.value.code == "decoder-failed"
        assert caught.value.headers["Retry-After"]
        assert (await decoders.decode(picture())).width == 160

    run(act)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of Unix")
def test_the_time_limit_counts_processor_time() -> None:
    slow = picture(size=(3000, 3000), form="PNG")

    async def starve(decoders: Decoders) -> None:
        """Stop and continue the decoder, so that it takes long without working."""
        os.kill(only(decoders), signal.SIGCONT)
        decode = asyncio.create_task(decoders.decode(slow))
        started = asyncio.get_running_loop().time()
        while not decode.done():
            os.kill(only(decoders), signal.SIGSTOP)
            await asyncio.sleep(0.3)
            os.kill(only(decoders), signal.SIGCONT)
            await asyncio.sleep(0.05)
        assert decode.result().width == 3000
        assert asyncio.get_running_loop().time() - started > 0.3

    async def exceed(decoders: Decoders) -> None:
        with pytest.raises(Problem) as caught:
            await decoders.decode(slow)
        assert caught.value.code == "decoding-time"
        assert (await decoders.decode(picture())).width == 160

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "LOOK_S", 60.0)
        run(starve, Limits(decode_s=5, decoder_s=60))
    run(exceed, Limits(decode_s=0.02))


@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of Unix")
def test_decoders_leave_a_signal_to_the_whole_group_to_the_service() -> None:
    async def act(decoders: Decoders) -> None:
        before = only(decoders)
        for sent in (signal.SIGTERM, signal.SIGINT):
            os.kill(before, sent)
        assert (await decoders.decode(picture())).width == 160
        assert only(decoders) == before

    run(act)


def test_a_decoder_imports_nothing_from_where_the_service_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "simplejpeg.py").write_text("import os; open('seen', 'w').write(str(os.environ))")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LESIONWISE_TOKEN", "s3cret")

    async def act(decoders: Decoders) -> None:
        assert (await decoders.decode(picture())).width == 160
        if sys.platform == "linux":
            environments.append(await asyncio.to_thread(Path(f"/proc/{only(decoders)}/environ").read_bytes))

    environments: list[bytes] = []
    run(act)
    assert all(b"PATH" in found and b"s3cret" not in found for found in environments)
    assert not (tmp_path / "seen").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of Unix")
def test_decoders_that_are_silent_are_found_and_replaced() -> None:
    async def act(decoders: Decoders) -> None:
        assert await decoders.answers()
        os.kill(only(decoders), signal.SIGSTOP)
        assert not await decoders.answers()
        assert (await decoders.decode(picture())).width == 160
        assert await decoders.answers()

    run(act)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of Unix")
def test_a_silent_decoder_does_not_outlive_a_service_that_stops_while_it_is_replaced() -> None:
    silent: list[int] = []

    async def act(decoders: Decoders) -> None:
        silent.append(only(decoders))
        os.kill(silent[0], signal.SIGSTOP)
        assert not await decoders.answers()
        await asyncio.sleep(0.1)  # it has been asked to end by now, and does not

    run(act)
    deadline = time.monotonic() + 10
    with suppress(ChildProcessError):  # it has ended, and the event loop has collected it
        while not os.waitpid(silent[0], os.WNOHANG)[0]:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_png_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL.PngImagePlugin import PngImageFile  # noqa: PLC0415

    loads, load_end = [], PngImageFile.load_end

    def counted(self: PngImageFile) -> None:
        loads.append(1)
        load_end(self)

    monkeypatch.setattr(PngImageFile, "load_end", counted)
    settings = {"size": [HEIGHT, WIDTH], "steps": [], "pixels": 10**6, "side_px": 10**4}
    found = decoder.answer(picture(form="PNG"), preview=True, settings=settings)
    assert json.loads(found.partition(b"\n")[0])["width"] == 160
    assert len(loads) == 1


def test_an_answer_that_nobody_waits_for_is_not_taken_for_the_next() -> None:
    async def act(decoders: Decoders) -> None:
        task = asyncio.create_task(decoders.decode(picture(size=(3000, 2000), form="PNG")))
        await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await decoders.decode(picture())).width == 160

    run(act)


def test_no_decoder_outlives_the_service() -> None:
    seen = []

    async def act(decoders: Decoders) -> None:
        seen.append(only(decoders))

    run(act)
    with pytest.raises(ProcessLookupError):
        os.kill(seen[0], 0)


@pytest.mark.skipif(find_spec("pydicom") is None, reason="pydicom is not installed")
def test_a_dicom_file_is_decoded_within_the_limits_and_its_patient_stays_inside() -> None:
    import numpy as np  # noqa: PLC0415

    from data.test_dicom import NAME, draw  # noqa: PLC0415

    pixels = np.random.default_rng(0).integers(0, 256, (200, 333, 3), dtype=np.uint8)
    content = draw(pixels)
    verify_kind(content)

    async def act(decoders: Decoders) -> None:
        found = await decoders.decode(content, preview=True)
        assert (found.pixels == read_image(content, (HEIGHT, WIDTH))).all()
        assert (found.width, found.height) == (333, 200)
        assert NAME.encode() not in found.preview
        for refused, code in [
            (draw(pixels, NumberOfFrames=2), "damaged-image"),
            (draw(pixels, Rows=60_000, Columns=60_000), "image-size"),
            (content[:400], "damaged-image"),
        ]:
            with pytest.raises(Problem) as problem:
                await decoders.decode(refused)
            assert problem.value.code == code

    run(act)


def test_a_dicom_file_that_is_another_image_as_well_is_refused() -> None:
    both = bytearray(picture(size=(333, 200)))
    both[128:132] = b"DICM"
    with pytest.raises(Problem, match="of another kind at the same time"):
        verify_kind(bytes(both))


def test_without_pydicom_a_dicom_file_is_refused_by_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "READS_DICOM", False)
    with pytest.raises(Problem, match="lacks the extra"):
        verify_kind(bytes(128) + b"DICM" + bytes(300))


@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of Unix")
def test_a_decoder_that_cannot_be_started_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "AGAIN_S", 0.01)
    start = asyncio.create_subprocess_exec
    refused: list[tuple[str, ...]] = []

    async def full(*command: str, **options: object) -> asyncio.subprocess.Process:
        if len(refused) < 2:
            refused.append(command)
            raise BlockingIOError("no process is left")
        return await start(*command, **options)  # type: ignore[arg-type]

    async def act(decoders: Decoders) -> None:
        monkeypatch.setattr(asyncio, "create_subprocess_exec", full)
        os.kill(only(decoders), signal.SIGKILL)
        assert (await decoders.decode(picture())).width == 160
        assert len(refused) == 2

    run(act)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of Unix")
def test_where_no_decoder_is_left_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "WAIT_S", 0.05)

    async def none(*command: str, **options: object) -> asyncio.subprocess.Process:
        raise BlockingIOError(command, options)

    async def act(decoders: Decoders) -> None:
        monkeypatch.setattr(asyncio, "create_subprocess_exec", none)
        os.kill(only(decoders), signal.SIGKILL)
        with pytest.raises(Problem) as caught:
            await decoders.decode(picture())
        assert caught.value.code == "busy"

    run(act)
