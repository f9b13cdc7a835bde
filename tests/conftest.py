"""What holds for every test: Ctrl-C interrupts. A shell starts what it runs in the background deaf to it, CI as well as `&`."""

from __future__ import annotations

import signal

signal.signal(signal.SIGINT, signal.default_int_handler)
