"""The page for a browser on this machine: nothing else reaches it, and it reaches nothing else.

The server listens on loopback alone. A page of another site, open in the same browser, could send requests there: it
does not know the random token in the address, and a name of its own that leads to 127.0.0.1 (DNS rebinding) is refused
by the header Host. The policy of the page's content lets it load from this server only.
"""

from __future__ import annotations

import hmac
import secrets
import shutil
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import Final

from wsi_nucssl.errors import OutputError, WsiNucsslError
from wsi_nucssl.viewer.sites import TYPES, Content, Site

HOST: Final = "127.0.0.1"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; "
    "style-src 'self' 'sha256-9xTiqzfwFaL2SGb1rmr8gysEwVVjIvqWAgmZgqFqpEE='; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'"
)
"""The policy of the page's content; index.html says it too, for servers that say nothing. The hash is that of a style
that OpenSeadragon adds."""
NOBODY: Final = "'none'"
NOTEBOOKS: Final = (
    "http://localhost:* http://127.0.0.1:* https://localhost:* https://127.0.0.1:* vscode-webview:"
)
"""Who may show the page in a frame."""
_SECONDS: Final = 60
"""Of silence, after which a connection ends."""
_POLL_S: Final = 0.05
"""How often the server looks whether it was closed."""
_KEEP: Final = frozenset({".jpg", ".bin"})
"""What a browser may keep: it belongs to this address alone."""


class ViewerServer:
    """Serves a site from a thread of its own until it is closed.

    Parameters
    ----------
    site : Site
        What to serve.
    port : int
        Where; 0 for any that is free.
    frames : str
        Who may show the page in a frame, in the words of the policy "frame-ancestors".

    Attributes
    ----------
    url : str
        The page's address, with its token.

    Raises
    ------
    OutputError
        Something else listens there already.
    """

    def __init__(self, site: Site, port: int = 0, *, frames: str = NOBODY) -> None:
        self.site = site
        self.token = secrets.token_urlsafe(24)
        handler = type("_Handler", (_Handler,), {"viewer": self, "frames": frames})
        try:
            self._server = _Server((HOST, port), handler)
        except OSError as error:
            raise OutputError(
                f"nothing can be served on port {port} ({error.strerror})",
                remedy="Give another ⟨port⟩, or leave it out to take one that is free",
            ) from error
        self.port = self._server.server_address[1]
        self.url = f"http://{HOST}:{self.port}/{self.token}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL_S,), daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Serve until somebody closes it, or a signal comes."""
        while self._thread.is_alive():
            self._thread.join(1.0)

    def close(self) -> None:
        """Stop listening. Closing twice is fine."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True


class _Handler(BaseHTTPRequestHandler):
    viewer: ViewerServer
    frames: str
    protocol_version = "HTTP/1.1"
    server_version = "wsi-nucssl"
    sys_version = ""
    timeout = _SECONDS

    def do_GET(self) -> None:
        self._answer(with_content=True)

    def do_HEAD(self) -> None:
        self._answer(with_content=False)

    def _answer(self, *, with_content: bool) -> None:
        if not self._is_for_us():
            self._refuse(HTTPStatus.FORBIDDEN, "This server answers to 127.0.0.1 alone.")
            return
        path = self._path()
        if path is None:
            self._refuse(
                HTTPStatus.NOT_FOUND, "There is nothing here. Open the whole address that was printed."
            )
            return
        try:
            content = self.viewer.site.get(path)
            if content is None:
                self._refuse(HTTPStatus.NOT_FOUND, "There is no such file.")
            else:
                self._send(content, PurePosixPath(path or "index.html").suffix, with_content=with_content)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the browser has moved on
        except (WsiNucsslError, FileNotFoundError) as error:
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))

    def _is_for_us(self) -> bool:
        host = self.headers.get_all("Host") or []
        return len(host) == 1 and host[0].lower() in {
            f"{name}:{self.viewer.port}" for name in (HOST, "localhost")
        }

    def _path(self) -> str | None:
        """The path below the token; None without the token."""
        whole, _, _ = self.path.partition("?")
        before, slash, path = whole.removeprefix("/").partition("/")
        right = hmac.compare_digest(before.encode("utf-8", "replace"), self.viewer.token.encode())
        return path if right and slash and whole.startswith("/") else None

    def _send(self, content: Content, suffix: str, *, with_content: bool) -> None:
        if isinstance(content, Path):
            with content.open("rb") as file:
                self._head(HTTPStatus.OK, suffix, content.stat().st_size)
                if with_content:
                    shutil.copyfileobj(file, self.wfile)
            return
        self._head(HTTPStatus.OK, suffix, len(content))
        if with_content:
            self.wfile.write(content)

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        content = f"{message}\n".encode()
        self._head(status, ".txt", len(content))
        if self.command != "HEAD":
            self.wfile.write(content)

    def _head(self, status: HTTPStatus, suffix: str, length: int) -> None:
        self.send_response(status)
        keep = status == HTTPStatus.OK and suffix in _KEEP
        for name, value in {
            "Content-Type": TYPES[suffix],
            "Content-Length": str(length),
            "Content-Security-Policy": f"{POLICY}; frame-ancestors {self.frames}",
            "Cache-Control": "private, max-age=86400, immutable" if keep else "no-store",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
        }.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not worth a line."""
