"""Whole-slide nucleus segmentation with instance-aware self-supervised pretraining."""

__version__ = "0.1.0"
