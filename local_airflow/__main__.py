"""Entry of ``python -m local_airflow``."""

from __future__ import annotations

import sys

from local_airflow.cli import main

if __name__ == "__main__":
    sys.exit(main())
