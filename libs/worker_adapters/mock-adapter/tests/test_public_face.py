"""The public names."""

import mock_adapter


def test_every_public_name_is_there() -> None:
    assert all(hasattr(mock_adapter, name) for name in mock_adapter.__all__)
