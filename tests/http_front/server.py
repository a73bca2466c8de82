"""An HTTP front over the embedded engine. It is not a ClickHouse server.

It speaks so much of ClickHouse's HTTP interface as clickhouse-connect's HTTP client needs:
statements and inserts in a body, settings and parameters in the URL, the X-ClickHouse headers.
Behind it is the real engine of chDB, one statement at a time. Nothing of a server's own code is
here: no users, no pooling, no progress, no compressed answers, and `written_rows` counts the rows
sent, as chDB does. Connections are real TCP on the loopback interface, so the driver's transport is
tested for real.

    python -m tests.http_front.server DIRECTORY PORT PLAIN_PORT

Faults (`faults.py`) strike at PORT and never at PLAIN_PORT, at which a test looks what landed.
Orders come as JSON lines on stdin, each answered by one on stdout; the process ends with its stdin.
"""

import json
import os
import socket
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from clickhouse_connect.driver._backend.chdb_backend import _decompress

from tests.http_front.engine import Engine, Statement
from tests.http_front.faults import HARMLESS, NAMES, Deed, Fault, first_striking

VERSION = "26.9.1.1 (HTTP front over chDB)"
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Front(ThreadingHTTPServer):
    """One port of the front."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, port, engine, book):
        self.engine = engine
        self.book = book
        self.open_sockets = set()
        super().__init__(("127.0.0.1", port), Request)

    def handle_error(self, request, client_address):
        """Say nothing: broken connections are what we are for."""

    def vanish(self):
        """Stop listening and cut every connection."""
        self.shutdown()
        self.server_close()
        for connection in tuple(self.open_sockets):
            reset(connection)


class Book:
    """Orders of the test, and what was asked of us."""

    def __init__(self, faults=()):
        self.faults = list(faults)
        self.seen = []
        self.lock = threading.Lock()

    def note(self, statement):
        """Remember a request; return the fault that strikes it."""
        with self.lock:
            fault = first_striking(self.faults, statement.head)
            if statement.is_insert:
                self.seen.append([statement.head.split()[2], statement.token, fault.deed])
            return fault


class Request(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.server.open_sockets.add(self.connection)

    def finish(self):
        self.server.open_sockets.discard(self.connection)
        super().finish()

    def log_message(self, *_):
        """Say nothing."""

    def do_GET(self):
        self.do_POST()

    def do_POST(self):
        statement = self._statement()
        fault = self.server.book.note(statement)
        time.sleep(fault.delay_s)
        if fault.deed is Deed.RESET:
            self._hang_up()
        elif fault.deed is Deed.CODE:
            name = NAMES.get(fault.code, "SOME_ERROR")
            text = f"Code: {fault.code}. DB::Exception: ordered. ({name}) (version {VERSION})"
            self._send(403 if fault.code in {497, 516} else 500, text.encode(), code=fault.code)
        elif fault.deed is Deed.STATUS:
            self._send(fault.code, b"<html>not ClickHouse</html>")
        else:
            self._execute(statement, fault)

    def _execute(self, statement, fault):
        answer = self.server.engine.run(statement)
        if fault.deed is Deed.HANG:
            while self.connection.recv(1):  # returns when the client has hung up
                pass
        if fault.deed in {Deed.DROP_ANSWER, Deed.HANG}:
            self._hang_up()
        elif answer.code:
            self._send(500, answer.body, code=answer.code)
        else:
            counts = {"written_rows": str(answer.written_rows)}
            self._send(
                200, answer.body, summary=counts, format_name=answer.format_name, fault=fault
            )

    def _statement(self):
        parameters = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        body = self._body()
        encoding = self.headers.get("Content-Encoding")
        if encoding:
            body = _decompress(body, encoding)
        query = parameters.pop("query", None)
        return Statement(body if query is None else query.encode() + b"\n" + body, parameters)

    def _body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = bytearray()  # grows in place: an insert has thousands of chunks
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return bytes(body)

    def _send(self, status, body, *, code=0, summary=None, format_name="", fault=HARMLESS):
        self.send_response(status)
        self.send_header("X-ClickHouse-Summary", json.dumps(summary or {}))
        self.send_header("X-ClickHouse-Timezone", "UTC")
        if format_name:
            self.send_header("X-ClickHouse-Format", format_name)
        if code:
            self.send_header("X-ClickHouse-Exception-Code", str(code))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault.deed is Deed.CUT_ANSWER:
            self.wfile.write(body[: len(body) // 2])
            self._hang_up()
        else:
            self.wfile.write(body)

    def _hang_up(self):
        self.close_connection = True
        reset(self.connection)


def reset(connection):
    """End a connection the rude way."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        connection.shutdown(socket.SHUT_RDWR)
        connection.close()
    except OSError:
        pass  # the other side was faster


def listen(port, engine, book):
    front = Front(port, engine, book)
    threading.Thread(target=front.serve_forever, args=(0.02,), daemon=True).start()
    return front


def main():
    path, port, plain_port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    engine, book = Engine(path), Book()
    listen(plain_port, engine, Book())
    front = listen(port, engine, book)
    print("ready", flush=True)
    for line in sys.stdin:
        order, value = json.loads(line)
        if order == "faults":
            with book.lock:
                book.faults = [Fault(**fault) for fault in value]
        elif order == "vanish":
            front.vanish()
        elif order == "return":
            front = listen(port, engine, book)
        print(json.dumps(book.seen if order == "seen" else None), flush=True)
    # A request may be in the engine still, which is nobody's concern any more.
    os._exit(0)


if __name__ == "__main__":
    main()
