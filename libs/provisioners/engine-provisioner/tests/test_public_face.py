import engine_provisioner


def test_every_public_name_is_there_and_in_order():
    assert engine_provisioner.__all__ == sorted(engine_provisioner.__all__)
    assert all(hasattr(engine_provisioner, name) for name in engine_provisioner.__all__)
