import sys
from collections.abc import Callable
from contextlib import suppress
from socket import socket
from types import ModuleType, SimpleNamespace

import pytest
from typer.testing import CliRunner

from lesionwise.cli.app import app
from lesionwise.errors import LesionwiseError, MissingExtraError
from lesionwise.serve import server
from lesionwise.serve.share import LEAST_TOKEN, WARNING, shared, verify_shareable

SECRET = "account-4711"  # noqa: S105 (drawn up for these tests)
PUBLIC = "https://somewhere.example"


class StandIn(ModuleType):
    """What is used of ngrok, without a network."""

    def __init__(self, *, fails: str = "") -> None:
        super().__init__("ngrok")
        self.told: list[object] = []
        self._fails = fails

    def forward(self, address: str, *, authtoken: str) -> SimpleNamespace:
        if self._fails:
            raise ValueError(self._fails)
        self.told.append(("forward", address, authtoken))
        return SimpleNamespace(url=lambda: PUBLIC)

    def disconnect(self, url: str) -> None:
        self.told.append(("disconnect", url))


@pytest.fixture
def ngrok(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    module = StandIn()
    monkeypatch.setitem(sys.modules, "ngrok", module)
    monkeypatch.setenv("NGROK_AUTHTOKEN", SECRET)
    return module


def test_the_tunnel_is_open_for_the_length_of_the_block(ngrok: StandIn) -> None:
    with suppress(KeyboardInterrupt), shared("http://127.0.0.1:8000/") as address:
        assert address == PUBLIC
        assert ngrok.told == [("forward", "http://127.0.0.1:8000/", SECRET)]
        raise KeyboardInterrupt
    assert ngrok.told[-1] == ("disconnect", PUBLIC)


def test_why_there_is_no_tunnel_is_told_without_the_secret(
    ngrok: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = StandIn(fails=f"authentication failed: {SECRET} is not valid\nERR_NGROK_105")
    monkeypatch.setitem(sys.modules, ngrok.__name__, failing)
    with pytest.raises(LesionwiseError, match="opens no tunnel: authentication failed") as told, shared("x"):
        pass
    assert SECRET not in str(told.value)


@pytest.mark.parametrize("token", [None, "", "x" * (LEAST_TOKEN - 1)])
@pytest.mark.usefixtures("ngrok")
def test_a_service_without_a_token_worth_the_name_is_not_shared(token: str | None) -> None:
    with pytest.raises(LesionwiseError, match=r"Expected a token of 16 characters.*LESIONWISE_TOKEN"):
        verify_shareable(token)


def test_sharing_needs_an_account_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NGROK_AUTHTOKEN", raising=False)
    with pytest.raises(LesionwiseError, match="NGROK_AUTHTOKEN"):
        verify_shareable("x" * LEAST_TOKEN)


def test_without_ngrok_the_install_line_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ngrok", None)
    with pytest.raises(MissingExtraError, match=r'pip install "lesionwise\[share\]"'), shared("x"):
        pass


def serve(monkeypatch: pytest.MonkeyPatch, *options: str) -> str:
    """Serve nobody, and return what was printed."""

    def answer(
        _app: object, _service: object, listening: socket, on_start: Callable[[], None], **_: object
    ) -> None:
        on_start()
        listening.close()

    monkeypatch.setattr(server, "serve", answer)
    done = CliRunner().invoke(app, ["serve", "--port", "0", *options])
    if done.exception:
        raise done.exception
    return done.output


def test_the_command_warns_before_it_shares_and_prints_the_address(
    ngrok: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = serve(monkeypatch, "--share", "--token", "x" * LEAST_TOKEN)
    assert WARNING in printed
    assert printed.index(WARNING) < printed.index(PUBLIC)
    assert [told[0] for told in ngrok.told] == ["forward", "disconnect"]  # type: ignore[index]


def test_nothing_is_shared_unless_asked_for(ngrok: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    printed = serve(monkeypatch)
    assert ngrok.told == []
    assert "internet" not in printed


def test_a_command_that_cannot_share_does_not_serve(ngrok: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LesionwiseError, match="Expected a token"):
        serve(monkeypatch, "--share")
    assert ngrok.told == []
