"""What other programs read: nuclei as GeoJSON for QuPath, as tables, and in formats that packages add.

Called, `wsi_nucssl.export(...)`, the room is its job `jobs.exporting.export`: see `rooms`.
"""

from wsi_nucssl.rooms import make_callable

make_callable(__name__, "wsi_nucssl.jobs.exporting:export")
