"""True positive, missed, false positive, merged, split: by hand, and by the definition in plain loops."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_nucssl.metrics.contingency import contingency
from wsi_nucssl.metrics.drawing import COLOURS, draw_errors
from wsi_nucssl.metrics.verdicts import Verdict, verdicts_of


def test_each_kind_by_hand() -> None:
    true = np.zeros((4, 30), np.int32)
    pred = np.zeros((4, 30), np.int32)
    true[:, 0:4], pred[:, 0:4] = 1, 10  # true positive
    true[:, 5:7] = 2  # missed
    pred[:, 8:10] = 20  # false positive
    true[:, 11:13], true[:, 13:15], pred[:, 11:15] = 3, 4, 30  # merged
    true[:, 16:20], pred[:, 16:18], pred[:, 18:20] = 5, 40, 50  # split
    true[:, 21:24], pred[:, 23:26] = 6, 60  # drawn badly: missed and a false positive
    verdicts = verdicts_of(contingency(true, pred))
    kind = Verdict
    assert verdicts.true.tolist() == [
        kind.TRUE_POSITIVE, kind.MISSED, kind.MERGED, kind.MERGED, kind.SPLIT, kind.MISSED
    ]  # fmt: skip
    assert verdicts.pred.tolist() == [
        kind.TRUE_POSITIVE, kind.FALSE_POSITIVE, kind.MERGED, kind.SPLIT, kind.SPLIT, kind.FALSE_POSITIVE
    ]  # fmt: skip
    assert verdicts.counts() == {
        "true_positives": 1,
        "missed": 2,
        "false_positives": 2,
        "merged": 2,
        "split": 1,
    }


def plain(true: np.ndarray, pred: np.ndarray) -> tuple[list[Verdict], list[Verdict]]:
    """The definition, nucleus by nucleus."""
    trues, preds = ([labels == n for n in np.unique(labels) if n] for labels in (true, pred))

    def found(a: np.ndarray, b: np.ndarray) -> bool:
        return bool((a & b).sum() / (a | b).sum() > 0.5)

    def inside(a: np.ndarray, b: np.ndarray) -> bool:
        return bool((a & b).sum() > a.sum() / 2)

    swallowed = [[inside(t, p) for p in preds] for t in trues]
    merges = [sum(row[j] for row in swallowed) >= 2 for j in range(len(preds))]
    splits = [sum(inside(p, t) for p in preds) >= 2 for t in trues]
    of_true, of_pred = [], []
    for i, t in enumerate(trues):
        if any(found(t, p) for p in preds):
            of_true.append(Verdict.TRUE_POSITIVE)
        elif any(swallowed[i][j] and merges[j] for j in range(len(preds))):
            of_true.append(Verdict.MERGED)
        else:
            of_true.append(Verdict.SPLIT if splits[i] else Verdict.MISSED)
    for j, p in enumerate(preds):
        if any(found(t, p) for t in trues):
            of_pred.append(Verdict.TRUE_POSITIVE)
        elif merges[j]:
            of_pred.append(Verdict.MERGED)
        else:
            shard = any(inside(p, t) and splits[i] for i, t in enumerate(trues))
            of_pred.append(Verdict.SPLIT if shard else Verdict.FALSE_POSITIVE)
    return of_true, of_pred


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**20), height=st.integers(1, 9), width=st.integers(1, 9), ids=st.integers(1, 8))
def test_verdicts_are_the_definition(seed: int, height: int, width: int, ids: int) -> None:
    rng = np.random.default_rng(seed)
    true = rng.integers(0, ids, (height, width))
    pred = np.where(rng.random((height, width)) < 0.7, true, rng.integers(0, ids, (height, width)))
    merged = np.where(rng.random(ids) < 0.5, 1, np.arange(ids))[pred]
    for guess in (pred, merged):
        verdicts = verdicts_of(contingency(true, guess))
        assert (verdicts.true.tolist(), verdicts.pred.tolist()) == plain(true, guess)
        counts = verdicts.counts()
        assert sum(counts.values()) - counts["false_positives"] == len(verdicts.true)


def test_outlines_have_the_colours_of_the_verdicts_and_leave_the_inside() -> None:
    image = np.full((12, 30, 3), 200, np.uint8)
    true, pred = np.zeros((2, 12, 30), np.int32)
    true[2:9, 2:9] = pred[2:9, 2:9] = 7
    true[2:9, 12:19] = 3
    pred[2:9, 22:29] = 9
    drawn = draw_errors(image, true, pred)
    for col, verdict in ((2, Verdict.TRUE_POSITIVE), (12, Verdict.MISSED), (22, Verdict.FALSE_POSITIVE)):
        assert tuple(drawn[5, col]) == COLOURS[verdict]
        assert tuple(drawn[5, col + 3]) == (200, 200, 200)
    assert tuple(drawn[0, 0]) == (200, 200, 200)


def test_of_a_nucleus_that_was_found_the_prediction_is_outlined_alone() -> None:
    true, pred = np.zeros((14, 14), np.int32), np.zeros((14, 14), np.int32)
    true[1:13, 1:13], pred[2:12, 2:12] = 1, 1
    drawn = draw_errors(np.full((14, 14, 3), 200, np.uint8), true, pred)
    assert tuple(drawn[1, 6]) == (200, 200, 200)
    assert tuple(drawn[2, 6]) == COLOURS[Verdict.TRUE_POSITIVE]
