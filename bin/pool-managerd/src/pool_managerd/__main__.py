"""`python -m pool_managerd`."""

import sys

from pool_managerd.cli import main

sys.exit(main())
