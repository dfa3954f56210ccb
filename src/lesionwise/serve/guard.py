"""What surrounds every request: token, security headers, one line of log, counts.

Not here: the content of requests. The log contains no body, query, client address or file name.
"""

import base64
import binascii
import hmac
import logging
import traceback
from time import perf_counter
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lesionwise.serve.problems import Problem, base_of
from lesionwise.serve.service import Service

LOG: Final = logging.getLogger("lesionwise.serve")
OPEN_PATHS: Final = frozenset({"/live", "/ready", "/health", "/v2/health/live", "/v2/health/ready"})
_CHALLENGE: Final = {
    "WWW-Authenticate": 'Bearer realm="lesionwise", Basic realm="lesionwise", charset="UTF-8"'
}
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), interest-cohort=()",
}


class Guard:
    """A layer around the application."""

    def __init__(self, app: ASGIApp, *, service: Service, token: str | None = None) -> None:
        self._app = app
        self._service = service
        self._metrics = service.metrics
        self._token = token.encode() if token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, if it is allowed."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method, started, status = scope["method"], perf_counter(), 0
        if method == "HEAD":  # like GET; the server omits the body
            scope = {**scope, "method": "GET"}

        async def send_guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
                if self._service.closing:  # so that the next request goes to another service
                    headers["Connection"] = "close"
            await send(message)

        try:
            if self._may_pass(scope):
                await self._app(scope, receive, send_guarded)
            else:
                problem = Problem("no-token", "The token is missing or wrong.", headers=_CHALLENGE)
                self._metrics.refusals.labels(problem.code).inc()
                await problem.response(base_of(scope["path"]))(scope, receive, send_guarded)
        except Exception as error:  # noqa: BLE001 (the service must survive any error)
            places = "".join(traceback.format_tb(error.__traceback__))
            LOG.error("%s\n%s", type(error).__name__, places)  # noqa: TRY400 (its message may quote a request)
            if not status:
                problem = Problem("internal", "The log has the place of the error.")
                await problem.response(base_of(scope["path"]))(scope, receive, send_guarded)
        self._count(method, _route(scope), status, perf_counter() - started)

    def _may_pass(self, scope: Scope) -> bool:
        if self._token is None or scope["path"] in OPEN_PATHS:
            return True
        given = _given_token(Headers(scope=scope).get("authorization", ""))
        return hmac.compare_digest(given, self._token)

    def _count(self, method: str, path: str, status: int, seconds: float) -> None:
        method = method if method in {"GET", "HEAD", "POST"} else "other"
        self._metrics.requests.labels(method, path, str(status)).inc()
        self._metrics.seconds.labels(path).observe(seconds)
        LOG.info("%s %s %d %.1f ms", method, path, status, 1000 * seconds)


def _given_token(authorization: str) -> bytes:
    """Return the token of a header: that of Bearer, or the password of Basic, which browsers use."""
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip().encode()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(rest, validate=True).partition(b":")[2]
        except binascii.Error:
            return b""
    return b""


def _route(scope: Scope) -> str:
    """Return the service's own name of a path, so that clients cannot write into log and counters."""
    path = getattr(scope.get("route"), "path", None)
    if path:
        return str(path)
    return "/static" if scope["path"].startswith("/static/") else "other"
