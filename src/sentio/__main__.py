"""Runs the command line: ``python -m sentio``."""

from sentio.cli import main

raise SystemExit(main())
