"""The dashboard in a browser on this machine, kept up to date while the search runs."""

from __future__ import annotations

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any

from cxrsearch.errors import InputError
from search.errors import SearchError
from search.files import shown

from .view import read_view

HOST = "127.0.0.1"
FRESH = 10.0
"""Seconds for which a page is handed out again before it is made anew."""


class DashboardServer(ThreadingHTTPServer):
    """Serves one study's dashboard on the loopback address, and nothing else.

    Args:
        folder: the study's folder.
        port: port to listen on; 0 takes a free one.

    Raises:
        InputError: where the port cannot be had.
    """

    daemon_threads = True

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self._lock = Lock()
        self._page, self._made = b"", 0.0
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            other = port + 1 if 1024 <= port < 65535 else 8766  # lower ones are the system's
            raise InputError(
                f"--port {port}: cannot be had ({error.strerror}); name another, such as {other}"
            ) from error

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that went away before it had its answer."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    @property
    def port(self) -> int:
        """The port in use."""
        return int(self.server_address[1])

    def page(self) -> bytes:
        """The dashboard, at most `FRESH` seconds old."""
        from .dashboard import dashboard_html

        with self._lock:
            if not self._page or time.monotonic() - self._made > FRESH:
                view = read_view(self.folder)
                self._page = shown(dashboard_html(view, time.time(), refresh=True)).encode()
                self._made = time.monotonic()
            return self._page


class _Handler(BaseHTTPRequestHandler):
    server: DashboardServer

    def do_GET(self) -> None:
        """Answer with the page."""
        # Another site that resolves its own name to this machine must not read medical data.
        host = (self.headers.get("Host") or "").rsplit(":", 1)[0]
        if host not in (HOST, "localhost"):
            self.send_error(403)
        elif self.path.split("?")[0] != "/":
            self.send_error(404)
        else:
            self._answer()

    def _answer(self) -> None:
        try:
            body, kind, code = self.server.page(), "text/html", 200
        except SearchError as error:
            body, kind, code = shown(error).encode(), "text/plain", 503
        self.send_response(code)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the terminal belongs to whoever started the server."""


def serve(folder: Path, port: int = 8765) -> None:
    """Serve the dashboard of the study in ``folder`` until interrupted.

    Raises:
        search.errors.StudyError: where there is no study in ``folder``.
        InputError: where the port is in use.
    """
    read_view(folder, curves=False)
    with DashboardServer(folder, port) as server:
        print(f"http://{HOST}:{server.port}   (Ctrl-C stops it)", flush=True)
        server.serve_forever()
