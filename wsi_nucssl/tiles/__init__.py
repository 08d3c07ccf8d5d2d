"""Tiles: the grid that cuts up an extent, the OME-Zarr store of a slide's tissue, and how a slide gets into it."""
