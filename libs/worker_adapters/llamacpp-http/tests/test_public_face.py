"""The public names."""

import llamacpp_http


def test_every_public_name_is_there() -> None:
    assert all(hasattr(llamacpp_http, name) for name in llamacpp_http.__all__)
