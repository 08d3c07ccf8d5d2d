"""The first minutes on a GPU: everything prepared before them, in one folder that needs torch alone.

On a machine with the whole environment, `pack` writes images, weights, recipes and the code into a folder; there and
back, the other commands run out of that folder on a machine that has torch, torchvision, numpy, accelerate and
safetensors. docs/gpu.md has the commands in the order of their worth.
"""
