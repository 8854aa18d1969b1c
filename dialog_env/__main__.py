"""`python -m dialog_env` is `dialog-retrieval`."""

from dialog_env.cli import main

if __name__ == "__main__":
    main()
