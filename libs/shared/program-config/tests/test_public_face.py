"""What the package promises to the outside."""

import program_config


def test_every_public_name_is_accounted_for() -> None:
    assert len(set(program_config.__all__)) == len(program_config.__all__)
    assert all(hasattr(program_config, name) for name in program_config.__all__)
