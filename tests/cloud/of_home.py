"""What the tests of HOME have that these need too: what they load, they load from its files."""

import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

_HOME = Path(__file__).parents[1] / "home"
_NAME = f"{__package__}.home"

_spec = spec_from_file_location(
    _NAME, _HOME / "__init__.py", submodule_search_locations=[str(_HOME)]
)
assert _spec is not None
sys.modules[_NAME] = module_from_spec(_spec)
_calls = import_module(f"{_NAME}.calls")
_daemons = import_module(f"{_NAME}.daemons")
_objects = import_module(f"{_NAME}.objects")

Api, Frame, Stream = _calls.Api, _calls.Frame, _calls.Stream
EVENT_STREAM = _calls.EVENT_STREAM
check_grammar, frames_of, text_of = _calls.check_grammar, _calls.frames_of, _calls.text_of
eventually, engine_busy = _calls.eventually, _calls.engine_busy
Engine, Pool, get, until = _daemons.Engine, _daemons.Pool, _daemons.get, _daemons.until
KEYS, ObjectStore = _objects.KEYS, _objects.ObjectStore
