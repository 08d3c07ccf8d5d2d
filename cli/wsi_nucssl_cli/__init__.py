"""The command line of wsi_nucssl."""
