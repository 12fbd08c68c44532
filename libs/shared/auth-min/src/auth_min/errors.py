"""What can be wrong with the secrets and certificates that an operator gives."""


class AuthError(Exception):
    """The base of this library's errors."""

    code = "AUTH_CONFIG"
    retriable = False


class BadSecret(AuthError):
    """A token or key cannot be used; the message never holds it."""

    code = "BAD_SECRET"


class BadCertificate(AuthError):
    """A certificate, its key or a CA cannot be loaded."""

    code = "BAD_CERTIFICATE"
