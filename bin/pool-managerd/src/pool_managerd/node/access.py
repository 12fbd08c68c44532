"""The service token and the certificates: what opens this node and what it calls others with."""

import re
import ssl
from collections.abc import Iterator

from auth_min import ClientTls, Door, ServerTls, TlsFiles, TokenFile, TokenSet, TokenSource, fixed
from narration_core import get_logger
from pool_managerd.config import Settings

_SEPARATORS = re.compile(r"[\s,]+")


class Access:
    """Made of settings; raises AuthError when a token or a certificate cannot be used."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._log = get_logger(component="access")
        source: TokenSource
        if settings.api_token_file is not None:
            source = TokenFile(settings.api_token_file)
            source()  # What is wrong with it shows at the start, not with the first caller.
        else:
            source = fixed(TokenSet.parse("".join(self._texts())))
        self.door = Door(opens=source, optional_on_loopback=settings.auth_optional)
        self._server = (
            ServerTls(TlsFiles(settings.tls_cert, settings.tls_key)) if settings.has_tls else None
        )
        self._client = ClientTls(TlsFiles(ca=settings.tls_ca))

    def server_context(self) -> ssl.SSLContext | None:
        """Return what the node listens with; None: in plain text."""
        return None if self._server is None else self._server.context

    def client_context(self) -> ssl.SSLContext:
        """Return what control planes are called with."""
        return self._client.context

    def token(self) -> str | None:
        """Return the token to show: the first, since a new one is rolled in behind the old."""
        entries = (
            entry
            for text in self._texts()
            for line in text.splitlines()
            if not line.lstrip().startswith("#")
            for entry in _SEPARATORS.split(line)
        )
        return next(filter(None, entries), None)

    def renew(self) -> None:
        """Look at the certificates again; the token file is looked at with each request."""
        for tls in (self._server, self._client):
            if tls is not None and (seen := tls.reload_if_changed()) != "unchanged":
                self._log.info("certificates_changed", outcome=seen.value, reason=tls.trouble)

    def _texts(self) -> Iterator[str]:
        settings = self._settings
        if settings.api_token is not None:
            yield settings.api_token.get_secret_value()
        if settings.api_token_file is not None:
            try:
                yield settings.api_token_file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                self._log.warning("token_file_unreadable", reason=str(error))
