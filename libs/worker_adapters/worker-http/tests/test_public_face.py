"""The public names."""

import worker_http


def test_every_public_name_is_there() -> None:
    assert all(hasattr(worker_http, name) for name in worker_http.__all__)
