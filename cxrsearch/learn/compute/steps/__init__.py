"""How steps are taken: as they are, compiled, recorded; and what a half type asks of them."""
