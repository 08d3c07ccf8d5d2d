"""Each check tells ok from warning from fault, by injected facts; nothing private is printed; none ends the others."""

from __future__ import annotations

import getpass
import hashlib
import json
import platform
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import Ended
from wsi_nucssl.doctor import examination
from wsi_nucssl.doctor.disk import Disk, disk_of, judge_disk
from wsi_nucssl.doctor.examination import CHECKS, examine, page, refuse_faults, worst
from wsi_nucssl.doctor.finding import Check, Finding, doubtful, examined, faulty, fine
from wsi_nucssl.doctor.gpu import Gpu, judge_gpu
from wsi_nucssl.doctor.limits import cpu_quota, memory_available, memory_limit
from wsi_nucssl.doctor.picture import draw
from wsi_nucssl.doctor.private import without_private
from wsi_nucssl.doctor.processor import (
    Kernels,
    Memory,
    Threads,
    judge_kernels,
    judge_memory,
    judge_threads,
)
from wsi_nucssl.doctor.software import Interpreter, Libraries, judge_libraries, judge_python
from wsi_nucssl.doctor.trial import Trial, judge_trial
from wsi_nucssl.doctor.weights import checksums, judge_weights
from wsi_nucssl.errors import OutputError, ResourceError, UsageError, WeightsError, WsiNucsslError
from wsi_nucssl.models.info import BUNDLED

AVX = Kernels("A CPU", "brgconv_avx512_bf16", ("BF16", "INT8"), "")
FOUR = Threads(4, 4, None, "")
HERE = Disk(True, 50 * 10**9, True, "Set TMPDIR")
WHOLE = Trial(121, 121, 121, 4630.0, "ab" * 32, "openvino", 3.0)
SUITING = Libraries({"numpy": "<3,>=1.26"}, {"numpy": "2.1"}, {})

FINDINGS: list[tuple[Finding, str, str]] = [
    (judge_python(Interpreter((3, 12, 1), 64)), "ok", "3.12.1"),
    (judge_python(Interpreter((3, 19, 0), 64)), "warning", "newer"),
    (judge_python(Interpreter((3, 10, 9), 64)), "fault", "3.10.9"),
    (judge_python(Interpreter((3, 12, 0), 32)), "fault", "32 bits"),
    (judge_libraries(SUITING), "ok", "numpy 2.1"),
    (judge_libraries(replace(SUITING, installed={"numpy": "3.0"})), "warning", "numpy 3.0"),
    (judge_libraries(replace(SUITING, installed={})), "fault", "not installed: numpy"),
    (judge_libraries(replace(SUITING, broken={"cv2": "no libGL"})), "fault", "no libGL"),
    (judge_kernels(AVX), "ok", "avx512"),
    (judge_kernels(replace(AVX, kernel="jit_sse42_f32")), "warning", "no AVX2"),
    (judge_kernels(replace(AVX, restricted_by="AVX2")), "warning", "held back"),
    (judge_kernels(Kernels("", "", (), "AVX2")), "fault", "does not start"),
    (judge_threads(FOUR), "ok", "4 of 4 cores"),
    (judge_threads(replace(FOUR, quota=1.5)), "warning", "quota of 1.5"),
    (judge_threads(replace(FOUR, omp="8")), "warning", "more threads than cores"),
    (judge_threads(replace(FOUR, omp="4,2")), "ok", "4,2"),
    (judge_threads(replace(FOUR, omp="many")), "fault", "many"),
    (judge_memory(Memory(8 * 10**9, None)), "ok", "8.0 GB"),
    (judge_memory(Memory(None, None)), "ok", "not known"),
    (judge_memory(Memory(64 * 10**9, 3 * 10**9)), "warning", "limit 3.0 GB"),
    (judge_memory(Memory(10**9, None)), "fault", "1.0 GB"),
    (judge_gpu(Gpu(False)), "ok", "none"),
    (judge_gpu(Gpu(True, "A GPU", 20 * 10**9, 24 * 10**9)), "ok", "20.0 of 24.0 GB"),
    (judge_gpu(Gpu(True)), "warning", "PyTorch finds no GPU"),
    (judge_gpu(Gpu(True, "A GPU", 10**9, 24 * 10**9)), "warning", "1.0 of 24.0"),
    (judge_gpu(Gpu(True, "A GPU", error="no kernel image")), "fault", "no kernel image"),
    (judge_disk(HERE), "ok", "50.0 GB"),
    (judge_disk(replace(HERE, free=10**9)), "warning", "1.0 GB"),
    (judge_disk(replace(HERE, free=10**7)), "fault", "0.0 GB"),
    (judge_disk(replace(HERE, free=10**7, needed=False)), "warning", "0.0 GB"),
    (judge_disk(replace(HERE, writable=False)), "fault", "takes no files"),
    (judge_disk(replace(HERE, writable=False, needed=False)), "warning", "takes no files"),
    (judge_weights({"a.int8": ("1", "1")}), "ok", "1 files"),
    (judge_weights({"a.int8": ("1", "1"), "b.int8": ("", "1")}), "warning", "no card names b.int8"),
    (judge_weights({"a.int8": ("1", "2")}), "fault", "a.int8 is damaged"),
    (judge_weights({"a.int8": ("1", "")}), "fault", "a.int8 is lost"),
    (judge_weights({}), "fault", "no weights"),
    (judge_trial(WHOLE), "ok", "121 of 121"),
    (judge_trial(replace(WHOLE, found=123, matched=112, area_um2=4500.0)), "fault", "wrong result"),
    (judge_trial(replace(WHOLE, found=119, matched=119, area_um2=4500.0)), "ok", "119 of 121"),
    (judge_trial(replace(WHOLE, seconds=90.0)), "warning", "slow"),
    (judge_trial(replace(WHOLE, found=110, matched=110)), "fault", "wrong result"),
    (judge_trial(replace(WHOLE, area_um2=4950.0)), "fault", "4630 expected"),
    (judge_trial(replace(WHOLE, found=0, matched=0, area_um2=0.0)), "fault", "0 of 121"),
]


@pytest.mark.parametrize(("finding", "state", "word"), FINDINGS)
def test_each_check_tells_ok_from_warning_from_fault(finding: Finding, state: str, word: str) -> None:
    assert (finding.state, bool(finding.remedy)) == (state, state != "ok")
    assert word in finding.what


@pytest.mark.parametrize(
    ("finding", "kind"),
    [
        (judge_memory(Memory(10**9, None)), ResourceError),
        (judge_disk(replace(HERE, free=10**7)), ResourceError),
        (judge_disk(replace(HERE, writable=False)), OutputError),
        (judge_weights({}), WeightsError),
        (judge_threads(replace(FOUR, omp="0")), UsageError),
        (judge_trial(replace(WHOLE, found=0, matched=0)), WsiNucsslError),
    ],
)
def test_a_fault_has_the_exit_code_of_its_kind(finding: Finding, kind: type[WsiNucsslError]) -> None:
    lines = [examined(Check("one", lambda: 0, lambda _: finding))]
    with pytest.raises(kind, match="one") as raised:
        refuse_faults(lines)
    assert type(raised.value) is kind


def _raise(error: Exception) -> Callable[[], int]:
    def gather() -> int:
        raise error

    return gather


def test_a_check_that_raises_does_not_end_the_others() -> None:
    checks = [
        Check("broken", _raise(ZeroDivisionError("by zero")), lambda _: fine("never")),
        Check(
            "refused", _raise(WeightsError("no such model", remedy="Name another")), lambda _: fine("never")
        ),
        Check("well", lambda: 1, lambda _: fine("it goes on")),
        Check("meagre", lambda: 1, lambda _: doubtful("little", "Get more")),
    ]
    broken, refused, well, meagre = examine(checks)
    assert broken.finding.state == "fault"
    assert "ZeroDivisionError: by zero" in broken.finding.what
    assert refused.finding == faulty("no such model", "Name another", WeightsError)
    assert well.finding == fine("it goes on")
    assert worst([well]) == "ok"
    assert worst([well, meagre]) == "warning"
    assert worst([well, meagre, broken]) == "fault"
    refuse_faults([well, meagre])


def test_private_names_and_paths_never_stand_in_a_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(platform, "node", lambda: "ward7-pc.hospital.example")
    monkeypatch.setattr(getpass, "getuser", lambda: "jdoe")
    monkeypatch.setenv("HOME", "/home/jdoe")
    monkeypatch.chdir(tmp_path)
    said = (
        f"jdoe on WARD7-PC and ward7-pc.hospital.example: {tmp_path}/Miller Anna.svs, '/data/Smith/b.svs' and "
        r"D:\scans\Smith.svs; also /home/jdoe/x and ~/y, s3://bucket/smith; 20 nuclei/mm² by openvino/cpu"
    )
    line = examined(Check("loud", _raise(OSError(said)), lambda _: fine("never")))
    text = json.dumps(page([line]), ensure_ascii=False)
    for private in ("jdoe", "ward7", "hospital", str(tmp_path), "Smith", "/data", "/home", "scans"):
        assert private.lower() not in text.lower(), private
    assert "20 nuclei/mm² by openvino/cpu" in text


def test_a_path_with_spaces_under_a_known_folder_loses_the_folder() -> None:
    names = {"/home/a b": "[home]", "ann": "[user]"}
    assert without_private("/home/a b/slide.svs of ann, not of anna", names) == (
        "[home][path] of [user], not of anna"
    )


def test_limits_are_the_least_of_all_groups_above(tmp_path: Path) -> None:
    own, inner = tmp_path / "own", tmp_path / "job" / "step"
    inner.mkdir(parents=True)
    own.write_text("0::/job/step\n")
    assert cpu_quota(tmp_path, own) is None
    assert memory_limit(tmp_path, own) is None
    (inner / "cpu.max").write_text("max 100000\n")
    (inner.parent / "cpu.max").write_text("150000 100000\n")
    (inner / "memory.max").write_text("4000000000\n")
    (inner.parent / "memory.max").write_text("max\n")
    assert cpu_quota(tmp_path, own) == 1.5
    assert memory_limit(tmp_path, own) == 4 * 10**9


def test_limits_of_version_1_are_found_by_controller(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("4:memory:/box\n3:cpu:/box\n")
    for controller, files in {
        "cpu": {"cpu.cfs_quota_us": "200000", "cpu.cfs_period_us": "100000"},
        "memory": {"memory.limit_in_bytes": "9223372036854771712"},
    }.items():
        folder = tmp_path / controller / "box"
        folder.mkdir(parents=True)
        for name, text in files.items():
            (folder / name).write_text(text)
    assert cpu_quota(tmp_path, own) == 2
    assert memory_limit(tmp_path, own) is None
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("1000")
    assert memory_limit(tmp_path, own) == 1000


def test_free_memory_is_read_in_bytes(tmp_path: Path) -> None:
    path = tmp_path / "meminfo"
    path.write_text("MemTotal: 9 kB\nMemAvailable:    8 kB\n")
    assert memory_available(path) == 8192
    assert memory_available(tmp_path / "absent") is None


def test_a_folder_that_is_not_there_yet_is_judged_by_the_one_above(tmp_path: Path) -> None:
    found = disk_of(tmp_path / "a" / "b", needed=True, remedy="Other")
    assert found.writable
    assert found.free > 0
    assert not [*tmp_path.iterdir()]


def test_bundled_weights_are_those_of_their_cards_and_one_flipped_byte_is_seen(tmp_path: Path) -> None:
    assert judge_weights(checksums()).state == "ok"
    for path in BUNDLED.glob("liteunet0x2-open.*"):
        shutil.copy(path, tmp_path)
    assert judge_weights(checksums(tmp_path)).state == "ok"
    weights = tmp_path / "liteunet0x2-open.safetensors"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    assert "liteunet0x2-open.safetensors is damaged" in judge_weights(checksums(tmp_path)).what
    weights.unlink()
    assert "liteunet0x2-open.safetensors is lost" in judge_weights(checksums(tmp_path)).what


def test_the_picture_is_the_same_everywhere() -> None:
    image, centres = draw()
    assert image.shape == (768, 768, 3)
    assert hashlib.sha256(image.tobytes()).hexdigest().startswith("beb02a46d0a1")
    assert len(centres) == 121
    assert image[tuple(centres[:, ::-1].T)].mean() < 110  # dark where nuclei were drawn


def test_the_whole_page_is_well_here_and_safe_to_paste(cli: Callable[..., Ended], tmp_path: Path) -> None:
    ended = cli("doctor", "--json")
    found: dict[str, Any] = json.loads(ended.out)
    lines = {line["name"]: line for line in found["checks"]}
    assert [*lines] == [check.name for check in CHECKS]
    assert lines["trial"]["state"] in ("ok", "warning")
    assert re.match(
        r"1(1[7-9]|2[01]) of 121 nuclei found", lines["trial"]["what"]
    )  # by the engine that works here
    assert "conv" in lines["cpu"]["what"]
    assert ended.code == 0
    for private in (str(Path.cwd()), str(Path("~").expanduser()), platform.node(), str(tmp_path.parent)):
        assert private not in ended.out


def test_a_fault_is_said_with_its_remedy_and_sets_the_exit_code(
    cli: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Check("gpu", lambda: Gpu(True, "A GPU", error="[no] image"), judge_gpu)
    two = Check("memory", lambda: Memory(10**9, None), judge_memory)
    monkeypatch.setattr(examination, "examine", lambda: iter([examined(two), examined(one)]))
    monkeypatch.setenv("COLUMNS", "60")
    ended = cli("doctor")
    assert ended.code == 6
    assert "→ Update the driver, or work with --device cpu" in " ".join(ended.out.split())
    assert "A GPU: [no] image" in ended.out
    assert "error: something is wrong here: memory, gpu" in ended.err
    assert max(map(len, ended.out.splitlines())) <= 60
