"""The wire form of every public type.

`UPDATE_GOLDEN=1 pytest libs/shared/pool-registry-types` writes the golden files anew.
"""

import os
from pathlib import Path

import pool_registry_types
import pool_registry_types.testing
from node_types.testing import WireSuite


class TestWire(WireSuite):
    package = pool_registry_types
    golden = Path(__file__).parent / "golden"
    update = "UPDATE_GOLDEN" in os.environ
