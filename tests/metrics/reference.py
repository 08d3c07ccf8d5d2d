"""The metrics again, from their formulas, in plain loops over sets of pixels and exact fractions."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np

Pixels = set[tuple[int, int]]
Nuclei = dict[int, Pixels]


def nuclei(labels: np.ndarray) -> Nuclei:
    found: Nuclei = {}
    for row, col in np.ndindex(labels.shape):
        if labels[row, col]:
            found.setdefault(int(labels[row, col]), set()).add((row, col))
    return found


def iou(first: Pixels, second: Pixels) -> Fraction:
    return Fraction(len(first & second), len(first | second))


def aji(true: Nuclei, pred: Nuclei) -> float:
    shared, union, used = 0, 0, set()
    for pixels in true.values():
        best, best_iou = None, Fraction(0)
        for name in sorted(pred):
            if iou(pixels, pred[name]) > best_iou:
                best, best_iou = name, iou(pixels, pred[name])
        if best is None:
            union += len(pixels)
            continue
        used.add(best)
        shared += len(pixels & pred[best])
        union += len(pixels | pred[best])
    union += sum(len(pixels) for name, pixels in pred.items() if name not in used)
    return shared / union if union else math.nan


def matchings(true: Nuclei, pred: Nuclei, above: Fraction) -> list[list[tuple[int, int]]]:
    """Every one-to-one matching of pairs of IoU > above with the largest sum of IoU; by trying all."""
    pairs = [(t, p) for t in true for p in pred if iou(true[t], pred[p]) > above]
    best = Fraction(-1)
    winners: list[list[tuple[int, int]]] = []
    for size in range(min(len(true), len(pred)) + 1):
        for chosen in itertools.combinations(pairs, size):
            if len({t for t, _ in chosen}) == len({p for _, p in chosen}) == size:
                total = sum((iou(true[t], pred[p]) for t, p in chosen), Fraction(0))
                if total > best:
                    best, winners = total, []
                if total == best:
                    winners.append(list(chosen))
    return winners


def aji_of_matching(true: Nuclei, pred: Nuclei, chosen: list[tuple[int, int]]) -> float:
    shared = sum(len(true[t] & pred[p]) for t, p in chosen)
    union = sum(len(true[t] | pred[p]) for t, p in chosen)
    union += sum(len(true[t]) for t in true if t not in {t for t, _ in chosen})
    union += sum(len(pred[p]) for p in pred if p not in {p for _, p in chosen})
    return shared / union if union else math.nan


def pq(true: Nuclei, pred: Nuclei, threshold: float) -> tuple[float, float, float, int, int, int]:
    ious = [iou(t, p) for t in true.values() for p in pred.values()]
    matched = [value for value in ious if value > Fraction(threshold)]
    tp = len(matched)
    fp, fn = len(pred) - tp, len(true) - tp
    if tp + fp + fn == 0:
        return math.nan, math.nan, math.nan, 0, 0, 0
    dq = tp / (tp + fp / 2 + fn / 2)
    sq = float(sum(matched) / tp) if tp else 0.0
    return sq * dq, sq, dq, tp, fp, fn


def dice1(true: Nuclei, pred: Nuclei) -> float:
    first, second = set().union(*true.values()), set().union(*pred.values())
    total = len(first) + len(second)
    return 2 * len(first & second) / total if total else math.nan


def pixel_jaccard(true: Nuclei, pred: Nuclei) -> float:
    first, second = set().union(*true.values()), set().union(*pred.values())
    return len(first & second) / len(first | second) if first | second else math.nan


def dice2(true: Nuclei, pred: Nuclei) -> float:
    shared = areas = 0
    for t in true.values():
        for p in pred.values():
            if t & p:
                shared += len(t & p)
                areas += len(t) + len(p)
    if areas:
        return 2 * shared / areas
    return 0.0 if true or pred else math.nan


def hausdorff(true: Nuclei, pred: Nuclei) -> float:
    distances = []
    for t in true.values():
        for p in pred.values():
            if iou(t, p) > Fraction(1, 2):
                there = max(min(math.dist(a, b) for b in p) for a in t)
                back = max(min(math.dist(a, b) for a in t) for b in p)
                distances.append(max(there, back))
    return sum(distances) / len(distances) if distances else math.nan
