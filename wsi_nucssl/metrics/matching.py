"""One-to-one matching of true and predicted instances."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from wsi_nucssl.metrics.contingency import Contingency, Floats, Ints


def match(table: Contingency, above: float) -> Ints:
    """Pairs of the one-to-one matching that maximises ΣIoU among pairs of IoU > `above`.

    Returns (M,) indices into the pairs of `table`. For `above` ≥ 0.5 every instance has at most one such
    pair, so there is nothing to choose. Below, each group of instances linked by candidate pairs is
    solved on its own (Hungarian algorithm), exactly and without a T × P matrix.
    """
    ious = table.ious
    candidates = np.flatnonzero(ious > above)
    if above >= 0.5 or candidates.size == 0:
        return candidates
    group = _groups(table, candidates)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    parts = np.split(candidates[order], starts[1:])
    return np.sort(np.concatenate([_solve(table, part, ious) for part in parts]))


def _groups(table: Contingency, candidates: Ints) -> Ints:
    """(N,) group of each candidate pair: the connected components of the graph of instances."""
    true_count, pred_count = table.true_ids.size, table.pred_ids.size
    rows, cols = table.rows[candidates], table.cols[candidates] + true_count
    nodes = true_count + pred_count
    graph = coo_array((np.ones(candidates.size, np.int8), (rows, cols)), shape=(nodes, nodes))
    component = connected_components(graph, directed=False)[1]
    group: Ints = component[rows].astype(np.int64)
    return group


def _solve(table: Contingency, pairs: Ints, ious: Floats) -> Ints:
    """The best one-to-one choice among the pairs of one group."""
    if pairs.size == 1:
        return pairs
    true_index, row = np.unique(table.rows[pairs], return_inverse=True)
    pred_index, col = np.unique(table.cols[pairs], return_inverse=True)
    weight = np.zeros((true_index.size, pred_index.size))
    weight[row, col] = ious[pairs]
    chosen_row, chosen_col = linear_sum_assignment(weight, maximize=True)
    chosen = np.zeros(weight.shape, bool)
    chosen[chosen_row, chosen_col] = True
    return pairs[chosen[row, col]]
