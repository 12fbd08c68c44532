"""The public names."""

import vllm_http


def test_every_public_name_is_there() -> None:
    assert all(hasattr(vllm_http, name) for name in vllm_http.__all__)
