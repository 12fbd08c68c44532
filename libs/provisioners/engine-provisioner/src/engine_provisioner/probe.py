"""Asks an engine over HTTP whether it serves, and what."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import aiohttp

PROBE_TIMEOUT_S = 3.0
GENERATION_TIMEOUT_S = 30.0
"""One token takes this long only behind a long queue of somebody else's requests."""


class EngineProbe:
    """One HTTP client for the health of all engines of a machine."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    @classmethod
    @asynccontextmanager
    async def running(cls, *, timeout_s: float = PROBE_TIMEOUT_S) -> AsyncIterator[Self]:
        """Keep the client open as long as the context is."""
        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=timeout_s),
            # An engine's number of HTTP threads is small; a probe must not keep one busy.
            connector=aiohttp.TCPConnector(force_close=True, limit=0),
        ) as session:
            yield cls(session)

    async def trouble(self, url: str) -> str | None:
        """Return None when the engine is healthy, else what is wrong in plain words."""
        try:
            async with self._session.get(f"{url}/health") as answer:
                if answer.status == 200:
                    return None
                return f"the engine's /health answers {answer.status}"
        except TimeoutError:
            return "the engine's /health does not answer in time"
        except aiohttp.ClientError as error:
            return f"the engine's /health cannot be reached: {error}"

    async def models(self, url: str, key: str | None) -> frozenset[str]:
        """Return the ids of the models that the server at this URL serves; empty on any trouble."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            async with self._session.get(f"{url}/v1/models", headers=headers) as answer:
                body = await answer.json() if answer.status == 200 else {}
        except (TimeoutError, aiohttp.ClientError, ValueError):
            return frozenset()
        entries = body.get("data") if isinstance(body, dict) else None
        return frozenset(
            str(entry["id"]) for entry in entries or () if isinstance(entry, dict) and "id" in entry
        )

    async def generation(
        self, url: str, model: str, key: str | None, *, timeout_s: float = GENERATION_TIMEOUT_S
    ) -> str | None:
        """Have an engine of OpenAI's dialect say one token; None unless it is unable to.

        A refusal says nothing against it: it may be full, or made for embeddings.
        """
        try:
            async with self._session.post(
                f"{url}/v1/completions",
                headers={"Authorization": f"Bearer {key}"} if key else {},
                json={"model": model, "prompt": ".", "max_tokens": 1},
                timeout=aiohttp.ClientTimeout(total=timeout_s),
            ) as answer:
                if answer.status < 500 and answer.status != 200:
                    return None
                told = await answer.text()
        except TimeoutError:
            return f"the engine said no token within {timeout_s:g} s"
        except aiohttp.ClientError as error:
            return f"the engine's /v1/completions cannot be reached: {error}"
        if answer.status != 200:
            return f"the engine's /v1/completions answers {answer.status}"
        return None if _is_completed(told) else "the engine gave a token up"


def _is_completed(told: str) -> bool:
    """Whether an answer with a 200 is a completion: an engine that stops says `abort` there."""
    try:
        choices = json.loads(told)["choices"]
        return bool(choices) and choices[0]["finish_reason"] in ("stop", "length")
    except (ValueError, KeyError, TypeError):
        return False
