"""Asks an engine over HTTP whether it serves, and what."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Self, TypeAlias

import aiohttp

PROBE_TIMEOUT_S = 3.0
GENERATION_TIMEOUT_S = 30.0
"""One token takes this long only behind a long queue of somebody else's requests."""

OnCheck: TypeAlias = Callable[[str, str, float], None]
"""Is told of each look at an engine's health: its pool, whether it is `healthy`, `unhealthy`,
`unreachable` or out of time (`timeout`), and in how many ms that was known. For metrics; must not
raise or block."""


def unheard(_pool_id: str, _outcome: str, _took_ms: float) -> None:
    """Be an `OnCheck` that nobody hears."""


class EngineProbe:
    """One HTTP client for the health of all engines of a machine."""

    def __init__(self, session: aiohttp.ClientSession, *, on_check: OnCheck = unheard) -> None:
        self._session = session
        self._on_check = on_check

    @classmethod
    @asynccontextmanager
    async def running(
        cls, *, timeout_s: float = PROBE_TIMEOUT_S, on_check: OnCheck = unheard
    ) -> AsyncIterator[Self]:
        """Keep the client open as long as the context is."""
        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=timeout_s),
            # An engine's number of HTTP threads is small; a probe must not keep one busy.
            connector=aiohttp.TCPConnector(force_close=True, limit=0),
        ) as session:
            yield cls(session, on_check=on_check)

    async def trouble(self, url: str, *, pool_id: str) -> str | None:
        """Return None when the engine is healthy, else what is wrong in plain words."""
        now_s = asyncio.get_running_loop().time
        began_s = now_s()
        outcome, trouble = await self._look(url)
        self._on_check(pool_id, outcome, 1000 * (now_s() - began_s))
        return trouble

    async def _look(self, url: str) -> tuple[str, str | None]:
        try:
            async with self._session.get(f"{url}/health") as answer:
                if answer.status == 200:
                    return "healthy", None
                return "unhealthy", f"the engine's /health answers {answer.status}"
        except TimeoutError:
            return "timeout", "the engine's /health does not answer in time"
        except aiohttp.ClientError as error:
            return "unreachable", f"the engine's /health cannot be reached: {error}"

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
