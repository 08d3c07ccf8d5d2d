"""What other programs read: GeoJSON for QuPath."""
