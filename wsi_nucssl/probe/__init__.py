"""What a frozen encoder knows of nuclei: linear read-outs against baselines, and pictures of its density maps."""
