"""The pod of the exact delete, seen from outside: made, given its list, followed."""
