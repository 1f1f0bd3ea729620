"""``python -m ocrsearch``: the command line."""

from ocrsearch.cli import main

if __name__ == "__main__":
    main()
