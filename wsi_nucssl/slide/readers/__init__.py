"""One file a reader; `wsi_nucssl.slide.registry` lists them."""
