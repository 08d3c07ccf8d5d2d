"""Tables of trained models as data: experiments, the paper's numbers where it has them, and what one may cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Final, Self

from pydantic import AliasChoices, Field, model_validator

from wsi_nucssl.errors import UsageError
from wsi_nucssl.metrics.registry import METRICS
from wsi_nucssl.models.spec import ARCHITECTURES
from wsi_nucssl.pretext.tasks import TASKS
from wsi_nucssl.train.pretrain_recipe import PretrainRecipe
from wsi_nucssl.train.recipe import Recipe, RecipeFile, Section

PAPER: Final = Path(__file__).with_name("tables.yaml")
WITHOUT_PRETRAINING: Final = ("none", "imagenet")


class Budget(Section):
    """What an experiment may cost.

    `images` takes only the first so many of the dataset; with `pretrain_seed`, all seeds of an experiment fine-tune
    the encoder of that one pretraining run.
    """

    arch: str
    seeds: tuple[int, ...] = Field(min_length=1)
    pretrain_seed: int | None = None
    images: int | None = Field(default=None, ge=2)
    finetune: Recipe = Recipe()
    pretrain: PretrainRecipe = PretrainRecipe()

    @model_validator(mode="after")
    def _known(self) -> Self:
        _known_arch(self.arch)
        return self


Changes = dict[str, Any]
"""Settings of a recipe that differ from the budget's, named as in its YAML file."""


class Row(Section):
    """A way to start the encoder ("none", "imagenet" or a pretext task), and what its recipes change.

    `arch` takes another architecture than the budget's. `cost` is the time that a crop takes it, in those of the
    budget's architecture: it is trained on as many fewer crops, or more, so that rows take the same time.
    """

    name: str
    strategy: str
    arch: str = ""
    cost: float = Field(default=1.0, gt=0)
    finetune: Changes = Field(default_factory=dict)
    pretrain: Changes = Field(default_factory=dict)

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.arch:
            _known_arch(self.arch)
        return self


def _known_arch(arch: str) -> None:
    if arch not in ARCHITECTURES:
        raise ValueError(f"unknown architecture {arch!r}")


class Column(Section):
    """A fraction of the training labels, or a fold "i/k" instead of the hold-out, and what its recipe changes."""

    name: str
    fraction: float = Field(default=1.0, gt=0, le=1, validation_alias=AliasChoices("fraction", "share"))
    fold: str = ""
    finetune: Changes = Field(default_factory=dict)


class Table(Section):
    """A grid of experiments, each scored by some metrics; `average` adds each row's mean.

    `paper` holds the paper's value of each metric in each experiment, in the metric's unit; a table of our own names
    its `metrics` instead.
    """

    title: str
    rows: tuple[Row, ...] = Field(min_length=1)
    columns: tuple[Column, ...] = Field(min_length=1)
    paper_set: str = ""
    paper: dict[str, tuple[tuple[float, ...], ...]] = Field(default_factory=dict)
    metrics: tuple[str, ...] = Field(default=(), validation_alias=AliasChoices("metrics", "measures"))
    average: bool = False

    @property
    def shown(self) -> tuple[str, ...]:
        """Names of the metrics, in their order."""
        return self.metrics or tuple(self.paper)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.shown:
            raise ValueError("names no metric")
        for metric in self.shown:
            if metric not in METRICS.names:
                raise ValueError(f"unknown metric {metric!r}")
        for metric, values in self.paper.items():
            if [len(line) for line in values] != [len(self.columns)] * len(self.rows):
                raise ValueError(f"{metric} does not have {len(self.rows)} × {len(self.columns)} values")
        return self

    def check_strategies(self) -> None:
        """Raise `UsageError` that names the first strategy that is not there."""
        known = (*WITHOUT_PRETRAINING, *TASKS.names)
        for row in self.rows:
            if row.strategy not in known:
                raise UsageError(
                    f"the strategy {row.strategy!r} of row {row.name!r} is not there",
                    remedy=f"Choose among {', '.join(known)}",
                )


class Tables(RecipeFile):
    """All tables and budgets of a YAML file."""

    guide: ClassVar[str] = "docs/benchmark.md"

    budgets: dict[str, Budget]
    tables: dict[str, Table]

    def budget(self, name: str) -> Budget:
        """The budget of that name.

        Raises
        ------
        UsageError
            There is none.
        """
        if name not in self.budgets:
            raise UsageError(
                f"no budget is called {name!r}", remedy=f"Choose one of {', '.join(self.budgets)}"
            )
        return self.budgets[name]

    def table(self, name: str) -> Table:
        """The table of that name, its strategies checked.

        Raises
        ------
        UsageError
            There is none, or it names a strategy that is not there.
        """
        if name not in self.tables:
            raise UsageError(f"no table is called {name!r}", remedy=f"Choose one of {', '.join(self.tables)}")
        self.tables[name].check_strategies()
        return self.tables[name]
