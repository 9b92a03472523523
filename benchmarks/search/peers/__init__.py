"""Samplers of other libraries, asked and told as their documentation recommends."""
