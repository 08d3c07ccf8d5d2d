"""`python -m wsi_nucssl_cli`."""

from wsi_nucssl_cli.app import main

if __name__ == "__main__":
    main()
