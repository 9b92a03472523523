"""How fast a trial trains, beside what the hardware allows and what others get from it."""
