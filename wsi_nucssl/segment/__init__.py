"""Segment slides: windows through the network, probabilities into nuclei, nuclei into files.

Called, `wsi_nucssl.segment(...)`, the room is its job `segment.region.segment`: see `rooms`.
"""

from wsi_nucssl.rooms import make_callable

make_callable(__name__, "wsi_nucssl.segment.region:segment")
