"""``python -m sandbox``."""

from __future__ import annotations

import sys

from sandbox.command_line.cli import main

sys.exit(main())
