"""What people look at when a run is done: a page for each slide, and one for a batch (docs/report.md)."""
