"""The command line in this process, and the engine double's model."""

from tests.cli.conftest import cli as cli
from tests.segment.conftest import double_model as double_model
