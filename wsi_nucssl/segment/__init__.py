"""Segment slides: windows through the network, probabilities into nuclei, nuclei into files."""
