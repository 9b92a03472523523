"""Data sets of many formats with drawn images, and what comes out of the commands on them."""
