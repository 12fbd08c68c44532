"""The routes of models on a free port, around a disk that the test commands."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import aiohttp
from aiohttp import web

from api_types import CACHE_ROUTES, CATALOG_ROUTES
from http_shell import Edge, ErrorMap, bind, serving
from model_keeper import ModelHandlers
from model_keeper.testing import FakeDisk
from program_config import BindAddress


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Open:
    """A gate for all, and an observer of nothing."""

    def admit(self, request: web.BaseRequest) -> MappingProxyType[str, str]:
        return MappingProxyType({})

    def request_finished(self, route: str, **_: object) -> None:
        """Count nothing."""


class Shell:
    def __init__(self, url: str, session: aiohttp.ClientSession, disk: FakeDisk) -> None:
        self._url = url
        self._session = session
        self.disk = disk

    @classmethod
    @asynccontextmanager
    async def running(cls) -> "AsyncIterator[Shell]":
        disk, errors, app = FakeDisk(), ErrorMap(), web.Application()
        handlers = ModelHandlers(disk, errors, keep_alive_s=0.05).by_operation()
        for route in (*CATALOG_ROUTES, *CACHE_ROUTES):
            bound = bind(route, handlers[route.operation_id], max_body_bytes=4096)
            app.router.add_route(route.method, route.path, bound)
        edge = Edge(Open(), Open(), errors)
        async with (
            serving(app, edge, BindAddress("127.0.0.1", 0), shutdown_timeout_s=1) as address,
            aiohttp.ClientSession() as session,
        ):
            yield cls(f"http://{address}", session, disk)

    async def ask(
        self, method: str, path: str, *, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        async with self._session.request(
            method, self._url + path, json=body, headers=headers
        ) as answer:
            lowered = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(answer.status, lowered, await answer.read())
