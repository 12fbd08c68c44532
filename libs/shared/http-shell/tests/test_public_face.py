"""What the package promises to the outside."""

import http_shell


def test_every_public_name_is_accounted_for() -> None:
    assert len(set(http_shell.__all__)) == len(http_shell.__all__)
    assert all(hasattr(http_shell, name) for name in http_shell.__all__)
