import local_pool_manager


def test_every_public_name_is_there_and_in_order():
    assert local_pool_manager.__all__ == sorted(local_pool_manager.__all__)
    assert all(hasattr(local_pool_manager, name) for name in local_pool_manager.__all__)
