"""Whatever comes in, the answer is typed, names what is wrong, and is never a 500."""

import io
import json
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from demo_model import DEMO

from .calls import EVENT_STREAM, Answer, Api, check_grammar, text_of
from .daemons import Daemon, Place, Pool

CTX = 256
UNKNOWN = "4f1c0d7e-9a35-4e0b-8a7c-2d1b6f3e5a90"
MIB = 1024 * 1024
JSON = {"Content-Type": "application/json"}
CREATE = b"POST /v2/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
LOOK = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def daemon(shared_place: Callable[..., Place], models: Path) -> Daemon:
    return shared_place(Pool.of(models, DEMO, slots=2, ctx=CTX)).start()


@pytest.fixture
def api(daemon: Daemon, connect: Callable[[Daemon], Api]) -> Api:
    return connect(daemon)


@pytest.fixture(autouse=True)
async def serves_after_all(api: Api) -> None:
    """Whatever a test sent before, the next one finds a daemon that serves."""
    frames = await api.run(prompt="1", max_tokens=3, sampling={"temperature": 0})
    assert text_of(frames) == DEMO.expected_text(3)


def check_error(answer: Answer, status: int, code: str, *words: str) -> None:
    """Hold an error to the contract; its text must name what was wrong."""
    assert answer.status == status, answer
    body = answer.json()
    assert body["code"] == code
    assert body["correlation_id"] == answer.headers["X-Correlation-Id"]
    assert isinstance(body["retriable"], bool)
    said = f"{body['message']} {body.get('hint')}"
    for word in words:
        assert word in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", ()),
        (b"{", ()),
        (b"[]", ()),
        (b"null", ()),
        (b'"text"', ()),
        (b'{"prompt": "a"} {}', ()),
        (b'{"prompt": NaN}', ()),
        (b'{"prompt": "\xff\xfe"}', ()),
        (b'{"prompt": "\\ud800"}', ()),
        (b"[" * 100_000, ()),
        (b'{"a":' * 50_000, ()),
        (b"{}", ("prompt", "messages", "inputs")),
        (b'{"prompt": 1}', ("prompt",)),
        (b'{"prompt": "a", "messages": []}', ("messages",)),
        (b'{"prompt": "a", "max_tokens": 0}', ("max_tokens",)),
        (b'{"prompt": "a", "max_tokens": "5"}', ("max_tokens",)),
        (b'{"prompt": "a", "max_tokens": 1e400}', ("max_tokens",)),
        (b'{"prompt": "a", "deadline_ms": -1}', ("deadline_ms",)),
        (b'{"prompt": "a", "colour": 1}', ("colour",)),
        (b'{"prompt": "a", "sampling": {"temprature": 1}}', ("temprature",)),
        (b'{"prompt": "a", "sampling": {"temperature": -1}}', ("temperature",)),
        (b'{"prompt": "a", "placement": {"mode": "pin"}}', ("pin_pool_id",)),
        (b'{"prompt": "a", "task_id": "x"}', ("task_id",)),
        (b'{"prompt": "a", "determinism": "strict"}', ("strict",)),
        (b'{"inputs": ["a"], "workload": "embedding"}', ("embedding",)),
        (b'{"prompt": "a", "max_tokens": 257}', ("257", "256")),
        (b'{"prompt": "a", "ctx": 257}', ("257", "256")),
        (b'{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}', ("content",)),
    ],
    ids=lambda value: value[:40].decode(errors="replace") if isinstance(value, bytes) else "",
)
@pytest.mark.parametrize("headers", [{}, EVENT_STREAM], ids=["task", "stream"])
async def test_a_task_that_makes_no_sense_is_refused_with_the_reason(
    api: Api, body: bytes, words: tuple[str, ...], headers: dict[str, str]
) -> None:
    answer = await api.call("POST", "/v2/tasks", data=body, headers={**JSON, **headers})
    check_error(answer, 400, "INVALID_PARAMS", *words)


async def test_a_prompt_longer_than_the_context_is_refused_with_the_numbers_not_cut(
    api: Api,
) -> None:
    frames = await api.run(prompt="1" * (CTX + 50), max_tokens=5)
    check_grammar(frames)
    assert (frames[-1].event, frames[-1].data["code"]) == ("error", "INVALID_PARAMS")
    assert frames[-1].data["retriable"] is False
    assert str(CTX) in frames[-1].data["message"]
    assert str(CTX + 50)[:2] in frames[-1].data["message"]
    assert text_of(frames) == ""


async def test_an_answer_that_meets_the_end_of_the_context_says_so(api: Api) -> None:
    prompt = "1" * (CTX - 10)
    frames = await api.run(prompt=prompt, sampling={"temperature": 0})
    check_grammar(frames)
    end = frames[-1]
    assert end.event == "end"
    assert end.data["finish_reason"] == "length"
    assert end.data["tokens_in"] + end.data["tokens_out"] <= CTX + 1


async def test_a_large_body_is_refused_unread(api: Api) -> None:
    body = io.BytesIO(json.dumps({"prompt": "x" * (10 * MIB)}).encode())
    answer = await api.call("POST", "/v2/tasks", data=body, headers=JSON)
    check_error(answer, 413, "PAYLOAD_TOO_LARGE", str(MIB))


async def test_a_large_body_without_a_length_is_refused_too(api: Api) -> None:
    before_bytes = api.daemon.rss_bytes()
    chunks = b"10000\r\n%s\r\n" % (b"x" * 0x10000) * 200
    answer = raw(api.daemon, CREATE + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
    assert answer.startswith(b"HTTP/1.1 413")
    assert api.daemon.rss_bytes() - before_bytes < 8 * MIB


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "NOT_FOUND"),
        ("GET", "/v2/nothing", 404, "NOT_FOUND"),
        ("GET", "/v2/tasks/../../etc/passwd", 404, "NOT_FOUND"),
        ("GET", f"/v2/tasks/{UNKNOWN}", 404, "TASK_NOT_FOUND"),
        ("GET", "/v2/tasks/%00", 404, "TASK_NOT_FOUND"),
        ("GET", f"/v2/tasks/{UNKNOWN}/events", 404, "TASK_NOT_FOUND"),
        ("POST", f"/v2/tasks/{UNKNOWN}/cancel", 404, "TASK_NOT_FOUND"),
        ("GET", "/v2/sessions/none", 404, "SESSION_NOT_FOUND"),
        ("GET", "/v2/pools/none/health", 404, "POOL_NOT_FOUND"),
        ("POST", "/v2/pools/none/drain", 404, "POOL_NOT_FOUND"),
        ("GET", "/v2/catalog/models/none", 404, "MODEL_NOT_FOUND"),
        ("GET", f"/v2/artifacts/sha256:{'0' * 64}", 404, "ARTIFACT_NOT_FOUND"),
        ("GET", "/v2/artifacts/..%2f..%2fetc%2fpasswd", 404, "ARTIFACT_NOT_FOUND"),
        ("DELETE", "/v2/tasks", 405, "METHOD_NOT_ALLOWED"),
        ("PUT", "/v2/tasks", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/health", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/v2/tasks?limit=many", 400, "INVALID_PARAMS"),
        ("GET", "/v2/tasks?colour=red", 400, "INVALID_PARAMS"),
        ("GET", "/v2/tasks?cursor=x", 400, "INVALID_PARAMS"),
        ("GET", "/v2/nodes", 404, "NOT_FOUND"),
    ],
)
async def test_wrong_places_are_named(
    api: Api, method: str, path: str, status: int, code: str
) -> None:
    check_error(await api.call(method, path), status, code)


async def test_a_model_that_nobody_knows_is_answered_with_near_names(
    api: Api, models: Path
) -> None:
    answer = await api.call("POST", "/v2/tasks", json={"model_ref": "dem", "prompt": "1"})
    check_error(answer, 404, "MODEL_NOT_FOUND", "demo")
    answer = await api.call(
        "POST",
        "/v2/tasks",
        json={"prompt": "1", "placement": {"mode": "pin", "pin_pool_id": "none"}},
    )
    check_error(answer, 404, "POOL_NOT_FOUND", "none")


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Host": "evil.example"}, 421, "MISDIRECTED_REQUEST"),
        ({"Host": "127.0.0.1.evil.example"}, 421, "MISDIRECTED_REQUEST"),
        ({"Origin": "https://evil.example"}, 403, "FORBIDDEN"),
        ({"Origin": "null"}, 403, "FORBIDDEN"),
        ({"Content-Type": "text/plain"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        ({**JSON, "Content-Encoding": "gzip"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        ({**JSON, "Accept": "image/png"}, 406, "NOT_ACCEPTABLE"),
    ],
)
async def test_a_web_page_cannot_start_a_task(
    api: Api, headers: dict[str, str], status: int, code: str
) -> None:
    answer = await api.call(
        "POST", "/v2/tasks", data=b'{"prompt": "1", "max_tokens": 1}', headers={**JSON, **headers}
    )
    check_error(answer, status, code)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /health HTTP/1.1\r\n\r\n",
        LOOK + b"Host: localhost\r\n\r\n",
        LOOK + b"X: %s\r\n\r\n" % (b"x" * 100_000),
        LOOK + b"no colon\r\n\r\n",
        LOOK + b"X: a\x00b\r\n\r\n",
        LOOK.replace(b"health", b"x" * 100_000) + b"\r\n",
        LOOK.replace(b"1.1", b"9.9") + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        CREATE + b"Content-Length: -5\r\n\r\n",
        CREATE + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        CREATE + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=lambda value: value[-60:].decode("latin-1").strip(),
)
async def test_bytes_that_are_no_http_are_answered_in_kind(api: Api, request_bytes: bytes) -> None:
    head, _, body = raw(api.daemon, request_bytes).partition(b"\r\n\r\n")
    assert re.match(rb"HTTP/1\.[01] 400 ", head)
    assert json.loads(body)["code"] == "INVALID_PARAMS"
    assert b"x-correlation-id" in head.lower()


async def test_a_correlation_id_that_is_none_is_replaced(api: Api) -> None:
    for given in ("x" * 129, "é", "a b"):
        answer = await api.call("GET", "/health", headers={"X-Correlation-Id": given})
        assert answer.status == 200
        assert answer.headers["X-Correlation-Id"] != given


def raw(daemon: Daemon, request: bytes) -> bytes:
    """Send bytes and return the answer to them, as long as it says it is."""
    where = urlsplit(daemon.url)
    assert where.hostname
    assert where.port
    found = b""
    with (
        socket.create_connection((where.hostname, where.port), timeout=5) as connection,
        suppress(ConnectionError),  # It may hang up before it has read everything.
    ):
        with suppress(ConnectionError):
            connection.sendall(request)
        while not _is_whole(found) and (chunk := connection.recv(65_536)):
            found += chunk
    return found


def _is_whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)^content-length: (\d+)", head, re.MULTILINE)
    return bool(end) and length is not None and len(body) >= int(length[1])
