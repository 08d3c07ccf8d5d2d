"""Vary training crops, in batches and on the device that trains: geometry, stains, what lies on slides, optics.

Each step takes a batch and draws what it needs from the generators of its crops, so that a crop is a function of the
seed and its number; only white noise is drawn for the batch as a whole.
"""
