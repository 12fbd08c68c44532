"""The public names."""

import openai_http


def test_every_public_name_is_there() -> None:
    assert all(hasattr(openai_http, name) for name in openai_http.__all__)
