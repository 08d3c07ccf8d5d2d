"""The version, apart from the package itself, so that rooms need not import what is above them."""

__version__ = "0.1.0"
