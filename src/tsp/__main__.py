"""`python -m tsp`."""

import sys

from tsp.cli import main

sys.exit(main())
