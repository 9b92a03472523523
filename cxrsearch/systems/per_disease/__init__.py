"""A model for each disease, beside the best joint one."""
