"""Files of docs/cluster that others run: each is held against its purpose, by its own tool where that is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from wsi_nucssl.files import sha256_file

ROOT = Path(__file__).parent.parent.parent
CLUSTER = ROOT / "docs" / "cluster"


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on PATH with a `wsi-nucssl` that notes its arguments, and runs them if $REAL is set."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "wsi-nucssl"
    script.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$*" >> {tmp_path}/called\n'
        f'test -z "$REAL" || exec {sys.executable} -m wsi_nucssl_cli "$@"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (ROOT, ROOT / "cli"))))
    return tmp_path / "called"


def needs(tool: str) -> str:
    found = shutil.which(tool)
    if found is None:
        pytest.skip(f"{tool} is not installed")
    return found


def test_a_job_of_an_array_does_its_part(on_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("ARRAY_TASK_ID", "3"), ("ARRAY_TASK_COUNT", "8"), ("CPUS_PER_TASK", "4")):
        monkeypatch.setenv(f"SLURM_{name}", value)
    subprocess.run(["bash", CLUSTER / "slurm_array.sh", "my slides", "results"], check=True)
    assert on_path.read_text() == "segment my slides --output results --shard 3/8 --workers 4 --resume\n"


def test_what_images_copy_is_there_and_what_they_install_is_known() -> None:
    extras = set(re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
    for name in ("Dockerfile", "apptainer.def"):
        text = (CLUSTER / name).read_text()
        copied = re.findall(r"^COPY (.+) \S+$", text, re.M) + re.findall(r"^    (\S+) /src/\S+$", text, re.M)
        assert {
            "pyproject.toml",
            "README.md",
            "LICENSE",
            "wsi_nucssl",
            "cli",
            "sample_slides/sample.svs",
        } == {each for words in copied for each in words.split()}
        asked = re.findall(r'"\.\[([\w,]+)\]"', text)
        assert asked
        assert {each for words in asked for each in words.split(",")} <= extras


def test_the_dockerfile_passes_its_linter() -> None:
    ended = subprocess.run([needs("hadolint"), CLUSTER / "Dockerfile"], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout


def test_configurations_are_yaml_and_name_what_dask_jobqueue_knows() -> None:
    jobqueue = pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
    described = yaml.safe_load((CLUSTER / "jobqueue.yaml").read_text())["jobqueue"]["slurm"]
    words = {key.replace("-", "_"): value for key, value in described.items()}
    with jobqueue.SLURMCluster(
        **words, n_workers=0, scheduler_options={"dashboard_address": ":0"}
    ) as cluster:
        script = cluster.job_script()
    assert "#SBATCH --cpus-per-task=4" in script
    assert "--nworkers 4" in script


def test_a_module_has_what_its_description_says() -> None:
    folder = CLUSTER / "nextflow" / "wsinucssl" / "segment"
    described, process = yaml.safe_load((folder / "meta.yml").read_text()), (folder / "main.nf").read_text()
    emitted = set(re.findall(r"emit: (\w+)", process))
    assert emitted == set(described["output"])
    assert process.count("versions.yml") == 3  # what is emitted, and what script and stub write
    assert "stub:" in process


@pytest.mark.slow
def test_snakemake_segments_each_slide_and_says_where_it_failed(
    on_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snakemake = needs("snakemake")
    monkeypatch.setenv("REAL", "1")
    slides = tmp_path / "slides"
    slides.mkdir()
    shutil.copy(ROOT / "sample_slides" / "sample.svs", slides / "a.svs")
    (slides / "bad.svs").write_bytes(b"no slide")
    words: list[str | Path] = [
        snakemake,
        "--snakefile",
        CLUSTER / "Snakefile",
        "--cores",
        "2",
        "--keep-going",
    ]
    ended = subprocess.run(
        [*words, "--config", f"slides={slides}", f"results={tmp_path / 'results'}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert len(sha256_file(tmp_path / "results" / "a.geojson")) == 64
    assert "bad.svs" in (tmp_path / "results" / "bad.log").read_text()
    assert not (tmp_path / "results" / "bad.geojson").exists()
    assert len(on_path.read_text().splitlines()) == 2


CONDA_NAMES = {"torch": "pytorch", "opencv-python-headless": "py-opencv", "openslide-bin": "openslide"}
CONDA_NAMES |= {"dask[array]": "dask", "matplotlib": "matplotlib-base"}


def test_the_conda_recipe_needs_what_the_package_needs() -> None:
    recipe = yaml.safe_load((ROOT / "docs" / "conda" / "recipe.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.match(r"[^<>=]+", each)[0] for each in project["dependencies"]}  # type: ignore[index]
    found = dict(each.partition(" ")[::2] for each in recipe["requirements"]["run"])
    assert found.pop("python") == project["requires-python"]
    assert found.keys() == {CONDA_NAMES.get(name, name.lower()) for name in wanted}
    assert recipe["context"]["version"] == project["version"]
    same = [each for each in project["dependencies"] if re.match(r"[^<>=\[]+", each)[0] not in CONDA_NAMES]  # type: ignore[index]
    for each in same:
        name, _, bounds = re.match(r"([^<>=\[]+)(\[\w+\])?(.*)", each).groups()  # type: ignore[union-attr]
        assert found[CONDA_NAMES.get(f"{name}[array]", name.lower())] == bounds, name
