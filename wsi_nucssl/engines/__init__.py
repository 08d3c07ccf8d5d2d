"""Engines: a network as a function of bytes, on whatever hardware and library is at hand."""
