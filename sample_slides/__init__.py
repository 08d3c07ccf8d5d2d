"""H&E-like slides of any size with known nuclei: `python -m sample_slides OUT.svs`."""
