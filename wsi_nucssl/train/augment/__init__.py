"""Vary training crops, in batches and on the device that trains: geometry, stains, what lies on slides, optics.

Each step takes a batch and draws what it needs from the streams of its crops (`Draws`), so that a crop is a function of
the seed and its number; only white noise is drawn for the batch as a whole. A step's numbers are drawn for all crops at
once on the host and sent together, and no step waits for the device.
"""
