"""A methods section out of what is recorded, and which checklist item each sentence answers."""
