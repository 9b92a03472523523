"""``python -m cxrsearch`` is ``cxrsearch``."""

from cxrsearch.cli import main

if __name__ == "__main__":
    main()
