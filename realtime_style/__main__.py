"""`python -m realtime_style` is the command `realtime-style`."""

from __future__ import annotations

from realtime_style.cli import main

if __name__ == "__main__":
    main()
