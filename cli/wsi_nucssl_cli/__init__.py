"""The command line of wsi_nucssl."""

import os

# Before NumPy and SciPy load: each brings an OpenBLAS whose idle threads go round for a while before they sleep, beside
# those that work. No command multiplies matrices by it that are worth a second thread.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
