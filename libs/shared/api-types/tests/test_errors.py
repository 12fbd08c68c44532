import pytest

from api_types import HTTP_STATUS, RETRIABLE, ApiError, ErrorCode


def test_every_code_has_a_status() -> None:
    assert set(HTTP_STATUS) == set(ErrorCode)
    assert all(400 <= status < 600 for status in HTTP_STATUS.values())


@pytest.mark.parametrize("code", ErrorCode)
def test_an_error_carries_its_code_status_and_whether_to_try_again(code: ErrorCode) -> None:
    error = ApiError(code, "what is wrong")
    body = error.body("c-1")
    assert (body.code, body.message, body.correlation_id) == (code, "what is wrong", "c-1")
    assert (error.status, body.retriable) == (HTTP_STATUS[code], code in RETRIABLE)


def test_an_error_may_know_better_than_its_code_whether_to_try_again() -> None:
    assert ApiError(ErrorCode.DECODE_TIMEOUT, "x", retriable=False).body("c").retriable is False


def test_what_the_client_did_wrong_is_never_retriable() -> None:
    assert not {c for c in RETRIABLE if HTTP_STATUS[c] in {400, 401, 403, 404, 413, 415, 422}}
