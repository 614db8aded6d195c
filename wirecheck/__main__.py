"""`python -m wirecheck` is `wirecheck`."""

from wirecheck.cli.main import main

if __name__ == "__main__":
    main()
