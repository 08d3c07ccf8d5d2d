"""Tables grow column by column, and their rows take equal time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.paper.pretend import Pretend, table_of_ours
from wsi_nucssl.datasets import Dataset
from wsi_nucssl.errors import UsageError
from wsi_nucssl.paper.reproduce import reproduce


def test_a_row_that_costs_more_a_crop_sees_fewer(dataset: Dataset, tmp_path: Path) -> None:
    pretend = Pretend()
    config = table_of_ours(
        tmp_path / "tables.yaml",
        {"name": "plain", "strategy": "none"},
        {"name": "fine", "strategy": "none", "arch": "liteunet0", "cost": 2.5},
        {"name": "cheap", "strategy": "none", "arch": "resunet18x2", "cost": 0.8},
        {"name": "dear", "strategy": "none", "arch": "resunet101", "cost": 60},
        {"name": "same", "strategy": "none", "arch": "liteunet1x2", "cost": 1},
    )
    content = yaml.safe_load(config.read_text())
    content["budgets"]["smoke"]["finetune"]["crops_per_image"] = 20
    config.write_text(yaml.safe_dump(content))
    reproduce("ours", dataset, tmp_path / "out", budget="smoke", config=config, steps=pretend.steps)
    assert [job.recipe.crops_per_image for job in pretend.tuned] == [20, 8, 25, 1, 20]
    content["tables"]["ours"]["rows"][1]["cost"] = 0
    config.write_text(yaml.safe_dump(content))
    with pytest.raises(UsageError, match="cost"):
        reproduce("ours", dataset, tmp_path / "out", budget="smoke", config=config, steps=pretend.steps)


def test_a_table_shows_what_is_there_so_far_column_by_column(dataset: Dataset, tmp_path: Path) -> None:
    pretend = Pretend()
    config = table_of_ours(
        tmp_path / "tables.yaml",
        {"name": "plain", "strategy": "none"},
        {"name": "other", "strategy": "none", "finetune": {"boundary_px": 3}},
    )
    content = yaml.safe_load(config.read_text())
    content["tables"]["ours"] |= {
        "average": True,
        "columns": [{"name": f"{i}", "fold": f"{i}/2"} for i in (1, 2)],
    }
    config.write_text(yaml.safe_dump(content))

    (tmp_path / "runs").mkdir()  # as runs would make it

    def stop_at_last(done: int, _total: int, _text: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    def run(**options: Any) -> str:
        return reproduce(
            "ours", dataset, tmp_path, budget="smoke", config=config, steps=pretend.steps, **options
        )

    with pytest.raises(KeyboardInterrupt):
        run(on_experiment=stop_at_last)
    told = (tmp_path / "ours.md").read_text()
    assert "3 of 4 experiments so far" in told
    assert "| plain | 60.00 | 60.00 | 60.00 |" in told
    assert "| other | 60.00 | – | – |" in told
    cells = json.loads((tmp_path / "ours.json").read_text())["cells"]
    assert [[len(cell["scores"]) for cell in line] for line in cells] == [[1, 1], [1, 0]]
    finished = run()
    assert "so far" not in finished
    assert "| other | 60.00 | 60.00 | 60.00 |" in finished


@pytest.mark.parametrize("missing", ["rows", "columns"])
def test_a_table_without_rows_or_columns_is_refused(dataset: Dataset, tmp_path: Path, missing: str) -> None:
    config = table_of_ours(tmp_path / "tables.yaml", {"name": "plain", "strategy": "none"})
    content = yaml.safe_load(config.read_text())
    content["tables"]["ours"][missing] = []
    config.write_text(yaml.safe_dump(content))
    with pytest.raises(UsageError, match=missing):
        reproduce("ours", dataset, tmp_path / "out", budget="smoke", config=config, steps=Pretend().steps)
