"""Where an engine is, and what every request to it carries."""

import re
import ssl
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

Headers = Sequence[tuple[str, str]]

_UNSAFE = re.compile(r"[^\x20-\x7e]")


class Endpoint:
    """A base URL, taken apart once; its text never shows a credential."""

    __slots__ = ("_head", "base_path", "host", "port", "ssl_context")

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("an engine's base URL is http://HOST[:PORT][/PATH] or https://…")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError("an engine's base URL has no credentials, query or fragment")
        self.host = parts.hostname
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        self.base_path = parts.path.rstrip("/")
        self.ssl_context = None
        if parts.scheme == "https":
            self.ssl_context = ssl_context or ssl.create_default_context()
        shown_host = f"[{self.host}]" if ":" in self.host else self.host
        head = f"Host: {shown_host}:{self.port}\r\n"
        if api_key is not None:
            head += header_line("Authorization", f"Bearer {api_key}")
        self._head = head

    def __repr__(self) -> str:
        return f"Endpoint({self.host}:{self.port}{self.base_path})"

    @property
    def on_this_machine(self) -> bool:
        """Whether the engine itself is at the other end: nothing relays on loopback."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    def request_bytes(
        self, method: str, path: str, body: bytes | None, headers: Headers = ()
    ) -> bytes:
        """A whole HTTP/1.1 request; JSON where there is a body."""
        head = f"{method} {self.base_path}{path} HTTP/1.1\r\n{self._head}"
        values = ""
        for name, value in headers:
            values += value
            head += f"{name}: {value}\r\n"
        if _UNSAFE.search(values):
            for name, value in headers:
                header_line(name, value)
        if body is None:
            return f"{head}\r\n".encode("ascii")
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode("ascii") + body


def header_line(name: str, value: str) -> str:
    """One header; `ValueError`, without the value, when it would break the request."""
    if _UNSAFE.search(value):
        raise ValueError(f"the value of {name} has a character that a header cannot hold")
    return f"{name}: {value}\r\n"
