"""``python -m charlm`` is the command ``charlm``."""

from charlm.cli import main

if __name__ == "__main__":
    main()
