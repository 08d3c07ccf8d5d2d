"""The numbers of a crop against SplitMix64 on whole numbers of any size, and what is made of its 64 bits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_nucssl.train.augment.draws import Draws, to_device, white_noise

FIRST, SECOND, GOLDEN = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0x9E3779B97F4A7C15
MASK = 2**64 - 1


def mixed(word: int) -> int:
    """The finaliser of SplitMix64 (Steele et al., 2014, variant 13 of Stafford)."""
    word = ((word ^ (word >> 30)) * FIRST) & MASK
    word = ((word ^ (word >> 27)) * SECOND) & MASK
    return word ^ (word >> 31)


def words(key: int) -> Iterator[int]:
    """SplitMix64 from a key on."""
    while True:
        key = (key + GOLDEN) & MASK
        yield mixed(key)


def key_of(seed: int, crop: int) -> int:
    """Where the stream of a crop begins."""
    return mixed(mixed((crop * GOLDEN + FIRST) & MASK) ^ mixed((seed * SECOND + GOLDEN) & MASK))


def test_the_stream_of_key_0_is_the_published_one() -> None:
    """As java.util.SplittableRandom and the authors of xoshiro print it."""
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC]
    assert list(islice(words(0), 4)) == published
    assert Draws(np.zeros(1, np.uint64))._words(4)[0].tolist() == published


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**40), st.lists(st.integers(0, 2**40), min_size=1, max_size=4))
def test_every_number_comes_from_the_next_words_of_its_crop(seed: int, numbers: list[int]) -> None:
    drawn = Draws.of_crops(seed, numbers)
    assert len(drawn) == len(numbers)
    plain, pairs = drawn.random(2, 3), drawn.normal(2)
    wide, whole = drawn.uniform(-3, 5, 2), drawn.integers(2, 9, 4)
    branch, one_seed = drawn.branch(np.array([len(numbers) - 1])), drawn.seed()
    after = drawn.random()
    for row, number in enumerate(numbers):
        stream = words(key_of(seed, number))

        def fraction(stream: Iterator[int] = stream) -> float:
            return (next(stream) >> 11) / 2**53

        assert plain[row].ravel().tolist() == [fraction() for _ in range(6)]
        lengths = [math.sqrt(-2 * math.log(1 - fraction())) for _ in range(2)]
        turned = [length * math.cos(2 * math.pi * fraction()) for length in lengths]
        assert pairs[row].tolist() == pytest.approx(turned, rel=1e-9, abs=1e-12)
        assert wide[row].tolist() == pytest.approx([8 * fraction() - 3 for _ in range(2)])
        assert whole[row].tolist() == [2 + math.floor(7 * fraction()) for _ in range(4)]
        key = next(stream)
        if row == len(numbers) - 1:
            assert branch.random(3)[0].tolist() == [(word >> 11) / 2**53 for word in islice(words(key), 3)]
        word = next(stream)
        if row == 0:
            assert one_seed == word // 2
        assert after[row] == fraction()


def test_numbers_go_to_the_device_as_floats_of_32_bits_and_whole_ones_of_64() -> None:
    cpu = torch.device("cpu")
    for values in (np.array([[1.5, -2.25]]), np.array([[3, -4]]), np.arange(6)[::2]):
        sent = to_device(values, cpu)
        assert sent.dtype == (torch.float32 if values.dtype.kind == "f" else torch.int64)
        assert sent.tolist() == values.tolist()


def test_white_noise_is_standard_normal_and_repeats() -> None:
    one, other = (
        white_noise((4, 3, 50, 50), torch.device("cpu"), Draws.of_crops(seed, [7, 8])) for seed in (0, 1)
    )
    again = white_noise((4, 3, 50, 50), torch.device("cpu"), Draws.of_crops(0, [7, 9]))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert abs(float(one.mean())) < 0.02
    assert float(one.std()) == pytest.approx(1, abs=0.02)
