"""One study that asks which system helps: the same compute, the same split, repeated seeds."""
