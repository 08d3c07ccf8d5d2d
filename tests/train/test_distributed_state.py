"""One process trains several times, as a notebook does: each training has its own precision."""

from __future__ import annotations

import pytest

from wsi_nucssl.train.distributed import Precision, make_accelerator


@pytest.mark.parametrize("precisions", [("bf16", "fp32", "bf16"), ("fp32", "bf16", "fp32")])
def test_a_training_does_not_inherit_an_earlier_ones_precision(precisions: tuple[Precision, ...]) -> None:
    for precision in precisions:
        expected = "bf16" if precision == "bf16" else "no"
        assert make_accelerator("cpu", precision).mixed_precision == expected
