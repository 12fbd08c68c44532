"""`python -m engine_provisionerd`."""

import sys

from engine_provisionerd.cli import main

sys.exit(main())
