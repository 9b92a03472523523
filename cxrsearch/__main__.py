"""``python -m cxrsearch`` is ``cxrsearch``."""

from .cli import main

if __name__ == "__main__":
    main()
