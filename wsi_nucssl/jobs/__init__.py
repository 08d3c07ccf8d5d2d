"""Whole jobs in one call each, on paths, with the defaults of the command line: what `import wsi_nucssl` offers."""
