"""A study's model put to use: opened with data, judged on them, its predictions as a file."""
