"""What is compared gets the same compute: the plan, a cell of it, and how cells are judged."""
