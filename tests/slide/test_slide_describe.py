"""What `info` shows, and the fingerprint in manifests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from wsi_nucssl.slide import TissueMask, describe, identity, open_slide, thumbnail_with_mask, tissue_mask


def test_a_slides_facts_are_plain_json(pyramid: Path) -> None:
    with open_slide(pyramid) as slide:
        info = describe(slide, 0.1, mask=TissueMask.everywhere(slide))
    facts = json.loads(json.dumps(info.to_dict()))
    assert facts["path"] == str(pyramid)
    assert facts["reader"] == "tiff"
    assert facts["vendor"] == "generic-tiff"
    assert (facts["width"], facts["height"]) == (900, 700)
    assert [level["downsample"] for level in facts["levels"]] == [1, 2, 4]
    assert facts["mpp_x"] == facts["mpp_y"] == 0.25
    assert facts["bounds_l0"] == [0, 0, 900, 700]
    assert facts["tissue_fraction"] == 1
    assert facts["tiles"] == 6  # 2250 × 1750 px at 0.1 µm


def test_unknown_resolution_leaves_areas_and_tiles_unsaid(tcga_slide: Path) -> None:
    with open_slide(tcga_slide) as slide:
        info = describe(slide, model_mpp=0.25)
    assert info.mpp_x is info.tissue_mm2 is info.tiles is None
    assert info.tissue_fraction > 0.5


def test_the_thumbnail_dims_glass_and_keeps_tissue(cmu_slide: Path) -> None:
    with open_slide(cmu_slide) as slide:
        mask = tissue_mask(slide)
        shown = thumbnail_with_mask(slide, mask, 500)
        plain = thumbnail_with_mask(slide, TissueMask.everywhere(slide), 500)
    assert max(shown.shape) == 500
    assert shown[300, 20].max() < 160 < plain[300, 20].min()
    same = (shown == plain).all(axis=2).mean()
    assert abs(same - mask.fraction) < 0.1


def test_identity_follows_the_bytes_not_the_name(tmp_path: Path, pyramid: Path) -> None:
    copy = tmp_path / "another name.svs"
    copy.write_bytes(pyramid.read_bytes())
    with open_slide(pyramid) as slide:
        assert identity(slide) == identity(copy)
    assert len(identity(copy)) == 64
    copy.write_bytes(pyramid.read_bytes()[:-1] + b"x")
    assert identity(copy) != identity(pyramid)


def test_identity_of_a_large_file_reads_little_and_sees_size_head_and_tail(tmp_path: Path) -> None:
    path = tmp_path / "large"
    data = np.random.default_rng(0).integers(0, 256, 5 << 20, np.uint8).tobytes()
    seen = set()
    for content in (data, data + b"x", b"x" + data[1:], data[:-1] + b"x"):
        path.write_bytes(content)
        seen.add(identity(path))
    assert len(seen) == 4
