"""The cluster over its API: the registry's objects, commands in its pods, its state."""
