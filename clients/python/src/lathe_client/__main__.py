"""`python -m lathe_client` is the command `lathe`."""

from lathe_client.commands import main

if __name__ == "__main__":
    main()
