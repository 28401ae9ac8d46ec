"""The objects of the cluster: kept, checked, counted in versions, found by selectors, deleted."""
