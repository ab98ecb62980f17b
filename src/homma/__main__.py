"""`python -m homma`."""

from homma.cli.main import main

if __name__ == "__main__":
    main()
