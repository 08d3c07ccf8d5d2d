"""Who may ask the server, and for what: this machine, with the token, for files of the page alone."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.viewer.making import write_nuclei, write_slide
from wsi_nucssl.errors import OutputError
from wsi_nucssl.viewer.opening import open_site
from wsi_nucssl.viewer.server import NOTEBOOKS, POLICY, ViewerServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ViewerServer]:
    slide = write_slide(tmp_path / "slide.png")
    (tmp_path / "secret.txt").write_text("secret")
    path = write_nuclei(tmp_path / "n.geojson", slide, [(10, 10, 30)])
    with open_site(slide, [path]) as site:
        serving = ViewerServer(site)
        yield serving
        serving.close()


def _ask(
    server: ViewerServer, path: str, *, host: str | None = None, method: str = "GET"
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    if host != "":
        connection.putheader("Host", host or f"127.0.0.1:{server.port}")
    connection.endheaders()
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), content


def test_the_page_comes_with_a_policy_that_lets_nothing_else_in(server: ViewerServer) -> None:
    status, headers, content = _ask(server, f"/{server.token}/")
    assert status == 200
    assert headers["Content-Security-Policy"] == f"{POLICY}; frame-ancestors 'none'"
    assert "unsafe" not in POLICY
    assert f'content="{POLICY}"'.encode() in content
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert b"http" not in content.replace(b"http-equiv", b"")


def test_files_of_the_page_are_there(server: ViewerServer) -> None:
    for path, kind in {
        "main.js": "text/javascript; charset=utf-8",
        "view.json": "application/json",
        "slide/11/0_0.jpg": "image/jpeg",
        "nuclei/0/places.bin": "application/octet-stream",
    }.items():
        status, headers, content = _ask(server, f"/{server.token}/{path}?x=1")
        assert (status, headers["Content-Type"]) == (200, kind)
        assert int(headers["Content-Length"]) == len(content) > 0
        assert _ask(server, f"/{server.token}/{path}", method="HEAD")[0::2] == (200, b"")


@pytest.mark.parametrize(
    "host", ["", "evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1", "0.0.0.0:{port}"]
)
def test_another_host_is_refused(server: ViewerServer, host: str) -> None:
    status, _, content = _ask(server, f"/{server.token}/", host=host.format(port=server.port))
    assert status == 403
    assert b"nuclei" not in content


def test_localhost_is_this_machine_too(server: ViewerServer) -> None:
    assert _ask(server, f"/{server.token}/", host=f"localhost:{server.port}")[0] == 200


@pytest.mark.parametrize("path", ["/", "//", "/index.html", "/{token}", "/{token}x/", "/x/{token}/", "/é/"])
def test_without_the_token_there_is_nothing(server: ViewerServer, path: str) -> None:
    asked = path.format(token=server.token).encode().decode("latin-1")
    raw = f"GET {asked} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(raw.encode("latin-1"))
        assert connection.makefile("rb").readline().split()[1] == b"404"


@pytest.mark.parametrize(
    "path",
    [
        "../secret.txt",
        "..%2fsecret.txt",
        "%2e%2e/secret.txt",
        "slide/../../secret.txt",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "..\\secret.txt",
        "nuclei/0/../../../secret.txt",
        "nuclei/0/files.json",
        "slide/11/0_0.jpg/..",
        "slide/99/0_0.jpg",
        "slide/11/999999_0.jpg",
        "slide/11/-1_0.jpg",
        "slide/11/٣_0.jpg",
        "__init__.py",
        "main.js\0",
    ],
)
def test_no_path_leaves_the_page(server: ViewerServer, path: str) -> None:
    raw = f"GET /{server.token}/{path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(raw.encode())
        answer = connection.makefile("rb").read()
    assert answer.split(b" ", 2)[1] == b"404"
    assert b"secret" not in answer
    assert b"root:" not in answer


def test_nothing_is_taken(server: ViewerServer) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert _ask(server, f"/{server.token}/", method=method)[0] == 501


def test_it_listens_on_loopback_alone_and_a_taken_port_is_named(server: ViewerServer) -> None:
    assert server._server.server_address[0] == "127.0.0.1"
    with pytest.raises(OutputError, match=f"port {server.port}"):
        ViewerServer(server.site, server.port)


def test_tokens_are_new_each_time_and_notebooks_may_show_the_page(server: ViewerServer) -> None:
    other = ViewerServer(server.site, frames=NOTEBOOKS)
    try:
        assert other.token != server.token
        assert len(other.token) >= 32
        policy = _ask(other, f"/{other.token}/")[1]["Content-Security-Policy"]
        assert policy.endswith(f"frame-ancestors {NOTEBOOKS}")
    finally:
        other.close()


def test_a_file_that_is_gone_is_an_error_and_not_the_end(server: ViewerServer) -> None:
    (server.site.sets[0].folder / "places.bin").unlink()
    assert _ask(server, f"/{server.token}/nuclei/0/places.bin")[0] == 500
    assert _ask(server, f"/{server.token}/view.json")[0] == 200
