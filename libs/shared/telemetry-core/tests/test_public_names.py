import telemetry_core


def test_every_public_name_is_there_once() -> None:
    names = telemetry_core.__all__
    assert all(hasattr(telemetry_core, name) for name in names)
    assert len(names) == len(set(names))
