"""The command line, the processes that try faults side by side, and the tables of what became of them."""
