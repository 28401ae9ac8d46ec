"""The read-only window: its lease, its opening, its closing, its guard."""
