"""Several clusters of one file: whose window may be opened, and after whose."""
