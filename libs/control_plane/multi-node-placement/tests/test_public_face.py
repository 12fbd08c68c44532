"""The public names are those of `__all__`."""

import multi_node_placement


def test_every_public_name_exists_and_the_list_is_sorted():
    assert multi_node_placement.__all__ == sorted(multi_node_placement.__all__)
    assert all(hasattr(multi_node_placement, name) for name in multi_node_placement.__all__)
