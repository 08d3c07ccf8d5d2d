"""What other programs read: nuclei as GeoJSON for QuPath, as tables, and in formats that packages add."""
