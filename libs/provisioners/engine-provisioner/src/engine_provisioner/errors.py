"""Why an engine cannot be provided."""

from typing import ClassVar


class EngineError(Exception):
    """Base of this library's errors."""

    code: ClassVar[str] = "ENGINE_UNAVAILABLE"
    retriable: ClassVar[bool] = False


class EngineNotAvailableError(EngineError):
    """No way to provide the engine works here; the text names each one and what to do."""


class ModeNotProvidedError(EngineError):
    """This version cannot provide an engine in the wished way."""

    code = "ENGINE_MODE_NOT_PROVIDED"


class PreflightError(EngineError):
    """The engine would not start as planned; the text says why and what to do."""

    code = "ENGINE_PREFLIGHT_FAILED"
