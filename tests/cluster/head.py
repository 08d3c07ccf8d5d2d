"""The command line with small windows, so that a small slide has many tasks."""

from __future__ import annotations

from functools import partial

from wsi_nucssl.segment.plan import make_plan
from wsi_nucssl.segment.run import Steps
from wsi_nucssl_cli.app import main

SMALL = partial(make_plan, core=192)

if __name__ == "__main__":
    main(Steps(make_plan=SMALL))
