"""A sandbox in which one run meets one fault: what happens to it, what is watched, and what must hold at the end."""
