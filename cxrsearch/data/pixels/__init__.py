"""From an image file to grey pixels, and the cache of all of them."""
