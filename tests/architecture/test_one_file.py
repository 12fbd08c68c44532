"""One configuration file serves both daemons: none trips over a key of the other."""

from orchestratord.config import Settings as ControlPlaneSettings
from pool_managerd.config import Settings as NodeSettings
from pool_managerd.config.model import ORCHESTRATORD_KEYS


def test_a_node_knows_every_key_that_only_the_control_plane_reads():
    control_plane, node = set(ControlPlaneSettings.model_fields), set(NodeSettings.model_fields)
    assert control_plane - node <= ORCHESTRATORD_KEYS
    assert control_plane >= ORCHESTRATORD_KEYS
