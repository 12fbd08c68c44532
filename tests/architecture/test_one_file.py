"""One configuration file serves all daemons: none trips over a key of another."""

from engine_provisionerd.config import OTHERS_KEYS
from engine_provisionerd.config import Settings as ServiceSettings
from orchestratord.config import Settings as ControlPlaneSettings
from pool_managerd.config import Settings as NodeSettings
from pool_managerd.config.model import ORCHESTRATORD_KEYS


def test_a_node_knows_every_key_that_only_the_control_plane_reads():
    control_plane, node = set(ControlPlaneSettings.model_fields), set(NodeSettings.model_fields)
    assert control_plane - node <= ORCHESTRATORD_KEYS
    assert control_plane >= ORCHESTRATORD_KEYS


def test_the_service_beside_them_knows_every_key_that_only_they_read():
    others = {*ControlPlaneSettings.model_fields, *NodeSettings.model_fields}
    assert others - set(ServiceSettings.model_fields) <= OTHERS_KEYS
    assert others >= OTHERS_KEYS
