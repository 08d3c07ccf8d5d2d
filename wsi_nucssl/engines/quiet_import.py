"""Libraries of OpenVINO without their reports of usage: importing them would send one to their makers' server.

Both ask for `openvino_telemetry` and do without where it is not installed; so it is, as far as they can see, while they
are imported. What else runs in this process finds it as before.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

_REPORTS: Final = "openvino_telemetry"


@contextmanager
def no_reports() -> Iterator[None]:
    """Import OpenVINO, or NNCF, within this context."""
    modules = cast(dict[str, Any], sys.modules)
    known = _REPORTS in modules
    modules.setdefault(_REPORTS, None)  # importing it is then an ImportError
    try:
        yield
    finally:
        if not known:
            del modules[_REPORTS]
