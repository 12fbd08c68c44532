"""Who may come in: tokens, named keys, doors and TLS contexts."""

from auth_min.doors import (
    CERT_REQUIRED,
    Credentials,
    Door,
    Refusal,
    RefusalCode,
    is_loopback,
    read_credentials,
)
from auth_min.errors import AuthError, BadCertificate, BadSecret
from auth_min.exposure import Exposure
from auth_min.files import TokenFile, TokenSource, WatchedFile, fixed, joined
from auth_min.tls import ClientTls, Reload, ServerTls, TlsFiles, client_context, server_context
from auth_min.tokens import (
    LOCALHOST,
    MIN_SECRET_CHARS,
    Identity,
    IdentityKind,
    TokenSet,
    fingerprint,
    first_token,
)

__all__ = [
    "CERT_REQUIRED",
    "LOCALHOST",
    "MIN_SECRET_CHARS",
    "AuthError",
    "BadCertificate",
    "BadSecret",
    "ClientTls",
    "Credentials",
    "Door",
    "Exposure",
    "Identity",
    "IdentityKind",
    "Refusal",
    "RefusalCode",
    "Reload",
    "ServerTls",
    "TlsFiles",
    "TokenFile",
    "TokenSet",
    "TokenSource",
    "WatchedFile",
    "client_context",
    "fingerprint",
    "first_token",
    "fixed",
    "is_loopback",
    "joined",
    "read_credentials",
    "server_context",
]
