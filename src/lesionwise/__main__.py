"""`python -m lesionwise`."""

from lesionwise.cli import main

if __name__ == "__main__":
    main()
