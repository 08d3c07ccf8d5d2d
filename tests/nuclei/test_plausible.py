"""Whether nuclei are of the size that nuclei have, and what the mpp is likely wrong by."""

from __future__ import annotations

import pytest

from wsi_nucssl.nuclei.plausible import has_nuclear_size, likelier_factor


@pytest.mark.parametrize(
    ("median_um2", "factor"), [(8.0, 2.0), (2.0, 4.0), (130.0, 0.5), (480.0, 0.25), (33.0, 1.0)]
)
def test_the_mpp_is_wrong_by_the_power_of_two_that_makes_nuclei_of_usual_size(
    median_um2: float, factor: float
) -> None:
    assert likelier_factor(median_um2) == factor
    assert has_nuclear_size(median_um2 * factor**2)
