"""Answers questions on a unix socket, while this process holds the embedded engine.

HTTP over the socket, so that curl works too: POST the statement, get an Arrow IPC stream.

    curl --unix-socket run/query.sock http://local/ --data "SELECT count() FROM windows"
"""

import contextlib
import http.client
import os
import socket
import socketserver
import threading
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import quote, unquote

from schemas.errors import FleetpulseError, SettingsError, Unavailable
from sinks.clickhouse_endpoint import ClickHouseAddress
from sinks.read_only_endpoint import (
    STATEMENT_MAX_CHARS,
    QueryLimits,
    QueryRefused,
    Question,
    ReadOnlySessions,
)

TENANT_HEADER = "X-Fleetpulse-Tenant"
BODY_MAX_BYTES = 4 * STATEMENT_MAX_CHARS
CONCURRENT_MAX_COUNT = 4
WAIT_FOR_TURN_S = 10.0
CLIENT_TIMEOUT_S = 60.0
SOCKET_PATH_MAX_BYTES = 100
"""The kernel takes 107; longer paths go through /proc/self/fd."""


class NobodyListens(Unavailable):
    """There is no process behind the socket."""


class QueryEndpoint:
    """The server side.

    Args:
        path: of the socket; only our user may connect.
        address: the engine, which this process has open.
        limits: of each question.
    """

    def __init__(
        self, path: Path, address: ClickHouseAddress, limits: QueryLimits | None = None
    ) -> None:
        self._path = path
        self._sessions = ReadOnlySessions(address, limits or QueryLimits())
        self._turns = threading.BoundedSemaphore(CONCURRENT_MAX_COUNT)
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen, and answer in threads until `close`."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.unlink(missing_ok=True)
        with short_path(self._path) as path:
            old_mask = os.umask(0o177)
            try:
                self._server = _Server(path, self)
            finally:
                os.umask(old_mask)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening; questions under way are answered first."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
        self._sessions.close()
        self._path.unlink(missing_ok=True)

    def reply(self, question: Question) -> tuple[HTTPStatus, bytes]:
        """Return the status and the body of the response."""
        if not self._turns.acquire(timeout=WAIT_FOR_TURN_S):
            return HTTPStatus.SERVICE_UNAVAILABLE, b"too many questions at once; ask again"
        try:
            return HTTPStatus.OK, self._sessions.answer(question)
        except QueryRefused as error:
            return HTTPStatus.BAD_REQUEST, str(error).encode()
        except FleetpulseError as error:
            return HTTPStatus.SERVICE_UNAVAILABLE, str(error).encode()
        finally:
            self._turns.release()


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = False
    block_on_close = True

    def __init__(self, path: str, endpoint: QueryEndpoint) -> None:
        self.endpoint = endpoint
        super().__init__(path, _Exchange)


class _Exchange(BaseHTTPRequestHandler):
    server: _Server
    timeout = CLIENT_TIMEOUT_S

    def do_POST(self) -> None:
        size = self.headers.get("Content-Length", "")
        if not size.isdigit() or int(size) > BODY_MAX_BYTES:
            self._send(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, b"send one statement as the body")
            return
        sql = self.rfile.read(int(size)).decode(errors="replace")
        tenant = self.headers.get(TENANT_HEADER)
        question = Question(sql, unquote(tenant) if tenant is not None else None)
        self._send(*self.server.endpoint.reply(question))

    def _send(self, status: HTTPStatus, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Stay silent: statements may hold data."""

    def address_string(self) -> str:
        """Return the peer's name; a unix socket has none."""
        return "local"


def ask(path: Path, question: Question) -> bytes:
    """Ask the process that listens on the socket; return an Arrow IPC stream.

    Raises:
        QueryRefused: it does not answer this question; says why.
        NobodyListens: no process has the socket open.
        Unavailable: it did not answer in time.
    """
    headers = {}
    if question.tenant_id is not None:
        headers[TENANT_HEADER] = quote(question.tenant_id)
    with contextlib.closing(_Connection(path)) as connection:
        try:
            connection.connect()
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NobodyListens(f"no loader listens on {path}") from error
        try:
            connection.request("POST", "/", question.sql.encode(), headers)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"the loader does not answer on {path}: {error}") from error
    if response.status == HTTPStatus.OK:
        return body
    if response.status == HTTPStatus.BAD_REQUEST:
        raise QueryRefused(body.decode(errors="replace"))
    raise Unavailable(body.decode(errors="replace"))


class _Connection(http.client.HTTPConnection):
    """HTTP to a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("local", timeout=CLIENT_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        with short_path(self._path) as path:
            self.sock.connect(path)


@contextlib.contextmanager
def short_path(path: Path) -> Iterator[str]:
    """Give a name for a socket that the kernel accepts, however deep its folder lies.

    Raises:
        SettingsError: the path is too long on a system without /proc.
    """
    if len(os.fsencode(path)) <= SOCKET_PATH_MAX_BYTES:
        yield str(path)
        return
    if not Path("/proc/self/fd").is_dir():
        raise SettingsError(
            "stack.data_dir",
            value=str(path.parent),
            allowed=f"a path of at most {SOCKET_PATH_MAX_BYTES} bytes",
            cure="set FLEETPULSE_STACK__DATA_DIR to a shorter one",
        )
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
