"""What the tests of HOME and CLOUD have that these need too: loaded from their files."""

import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType


def _load(folder: str) -> str:
    name, path = f"{__package__}.{folder}", Path(__file__).parents[1] / folder
    spec = spec_from_file_location(
        name, path / "__init__.py", submodule_search_locations=[str(path)]
    )
    assert spec is not None
    module: ModuleType = module_from_spec(spec)
    sys.modules[name] = module
    return name


_home, _cloud = _load("home"), _load("cloud")
_calls = import_module(f"{_home}.calls")
_daemons = import_module(f"{_home}.daemons")

Api, Frame = _calls.Api, _calls.Frame
check_grammar, text_of, eventually = _calls.check_grammar, _calls.text_of, _calls.eventually
Daemon, Place, Pool = _daemons.Daemon, _daemons.Place, _daemons.Pool
get, until = _daemons.get, _daemons.until

_cluster = import_module(f"{_cloud}.cluster")
_cloud_calls = import_module(f"{_cloud}.calls")

CLIENT_KEY, Cluster = _cluster.CLIENT_KEY, _cluster.Cluster
CloudApi = _cloud_calls.CloudApi
Wires = import_module(f"{_cloud}.wires").Wires
