"""One file a layout; `wsi_nucssl.datasets.registry` lists them."""
