"""The figures of a report and their intervals, in NumPy and SciPy alone."""
