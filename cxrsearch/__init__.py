"""cxrsearch: AutoML for small chest X-ray data sets."""

__version__ = "0.1.0"
