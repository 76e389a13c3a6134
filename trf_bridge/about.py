"""Name and version, readable without importing the package."""

__title__ = "trf_bridge"
__version__ = "0.1.0"
