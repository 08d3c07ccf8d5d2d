"""A URL stays a URL, and nothing secret of it is printed."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

import wsi_nucssl as wn
from wsi_nucssl.cohort import outputs_in
from wsi_nucssl.errors import UsageError
from wsi_nucssl.locations import Url, absolute, local, locate, without_secrets

SIGNED = "https://ann:pass@host.org/b/x%20y.svs?X-Amz-Signature=5ecret"


@pytest.mark.parametrize(
    "text", ["s3://b/x.svs", "memory://x.svs", "HTTPS://h/x.svs", "simplecache::s3://b/x.svs"]
)
def test_a_url_is_taken_for_one(text: str) -> None:
    url = locate(text)
    assert isinstance(url, Url)
    assert (url.raw, str(url), url.name, url.stem, url.suffix) == (text, text, "x.svs", "x", ".svs")
    assert locate(url) is absolute(url) is url
    assert pickle.loads(pickle.dumps(url)) == url


@pytest.mark.parametrize("text", ["a.svs", "/a/b.svs", "a::b.svs", "C://a/b.svs", "s3:/b/x.svs", "a?b"])
def test_anything_else_is_a_path(text: str) -> None:
    assert locate(text) == locate(Path(text)) == Path(text)


def test_a_file_url_is_a_path(tmp_path: Path) -> None:
    path = tmp_path / "a b.svs"
    assert locate(path.as_uri()) == path


def test_secrets_are_not_printed() -> None:
    url = locate(SIGNED)
    assert isinstance(url, Url)
    assert str(url) == "https://host.org/b/x%20y.svs"
    assert url.stem == "x y"
    assert "5ecret" not in repr(url) + f"{url}"
    assert without_secrets(f"403 for url={SIGNED!r}, sorry") == f"403 for url='{url}', sorry"


def test_outputs_are_named_after_urls_as_after_paths(tmp_path: Path) -> None:
    slides = [locate(SIGNED), locate("s3://b/a.svs"), Path("b.svs")]
    names = [output.name for output in outputs_in(tmp_path, slides, ".geojson").values()]
    assert names == ["x_y.geojson", "a.geojson", "b.geojson"]
    with pytest.raises(UsageError, match=r"s3://c/a\.svs: two slides of this name"):
        outputs_in(tmp_path, [*slides, locate("s3://c/a.svs")], ".geojson")


@pytest.mark.parametrize("text", ["a.svs", "/a/b.svs", "C:/a/b.svs", "C://a/b.svs", "a?b"])
def test_a_path_is_local(text: str) -> None:
    assert local(text) == local(Path(text)) == Path(text)


@pytest.mark.parametrize("text", ["s3://b/x.svs", "memory://x.svs", "HTTPS://h/x.svs", SIGNED])
@pytest.mark.parametrize("kind", [str, Path])
def test_a_url_is_not_local(text: str, kind: Callable[[str], str | Path]) -> None:
    with pytest.raises(UsageError, match=r"`output` \w+://\S+ is a URL") as refused:
        local(kind(text), "output")
    assert str(refused.value.remedy) == "Give a path"
    assert not any(secret in refused.value.message for secret in ("pass", "5ecret"))


def _ingest(slide: Path, url: str) -> None:
    with wn.open_slide(slide) as opened:
        wn.ingest(opened, f"{url}/tiles.zarr", wn.TileConfig(wn.Mpp(0.5, 0.5)))


@pytest.mark.parametrize(
    "call",
    [
        lambda slide, url: wn.segment_slide(slide, f"{url}/n.geojson"),
        lambda slide, url: wn.segment_slide(slide, "n.geojson", write_tissue=f"{url}/t.geojson"),
        lambda slide, url: wn.segment_slide(slide, "n.geojson", model=f"{url}/m.safetensors"),
        lambda _, url: wn.read_nuclei(f"{url}/n.geojson"),
        lambda _, url: wn.export("n.geojson", f"{url}/n.csv"),
        lambda _, url: wn.finetune(f"{url}/data", "run"),
        lambda _, url: wn.finetune("data", f"{url}/run"),
        lambda _, url: wn.benchmark(f"{url}/data", "scores"),
        lambda _, url: wn.benchmark("data", f"{url}/scores"),
        lambda slide, url: wn.pretrain(slide, f"{url}/run"),
        lambda _, url: wn.verify(f"{url}/n.geojson"),
        _ingest,
        lambda _, url: wn.Split.read(f"{url}/split.json"),
        lambda _, url: wn.Split("a", 0, (), ()).write(f"{url}/split.json"),
        lambda _, url: wn.load_model(f"{url}/m.safetensors"),
    ],
)
def test_a_url_never_becomes_a_folder_of_that_name(
    call: Callable[[Path, str], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    slide = Path(__file__).parent.parent / "sample_slides" / "sample.svs"
    with pytest.raises(UsageError, match=r"s3://bucket/.* is a URL"):
        call(slide, "s3://bucket")
    assert not [*tmp_path.iterdir()]
