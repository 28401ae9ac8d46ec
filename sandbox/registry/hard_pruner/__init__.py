"""The stand-in for `dockerregistry`, whose `-prune` is the hard prune."""
