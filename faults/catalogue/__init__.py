"""The faults that are tried. A new one goes into the module that names its kind."""
