"""`verify`: whether outputs, runs, stores, weights and whole batches are what they should be, in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsi_nucssl import checks
from wsi_nucssl.jobs.arguments import PathArgument, Paths, locations, paths

if TYPE_CHECKING:
    from wsi_nucssl.models.weights import Model
    from wsi_nucssl.segment.run import Steps
    from wsi_nucssl.verification.examination import OnVerdict, Verification


def verify(
    path: Paths,
    *,
    slide: Paths = (),
    model: PathArgument | Model | None = None,
    repair: bool = False,
    workers: int = 1,
    on_verdict: OnVerdict = lambda _: None,
    steps: Steps | None = None,
) -> Verification:
    """See whether what was written is present, whole, valid, and of its slide and weights, as `wsi-nucssl verify` does.

    Parameters
    ----------
    path : str, Path or sequence of them
        Outputs, run directories, tile stores, weights, or folders of them.
    slide : str, Path or sequence of them
        The slides that they are of, or folders of slides. A batch's own slides are found by its ledger.
    model : str, Path or Model, optional
        The weights that they are of, as `load_model` takes them; by default, any.
    repair : bool
        Make again what is lost, where the slide or another output of the run is at hand. What is whole stays untouched.
    workers : int
        Processes that look at files; more than one needs `if __name__ == "__main__"` in scripts.
    on_verdict : callable
        Is told of each `Verdict` as it is there.
    steps : Steps, optional
        What a run does at each step, for repairs.

    Returns
    -------
    Verification
        The verdicts, and all `faults` among them; nothing is raised for a fault.

    Raises
    ------
    SlideError
        A slide that was given cannot be read.
    WeightsError
        There is no such model.
    UsageError
        An argument is none.

    Examples
    --------
    >>> import wsi_nucssl as wn
    >>> for fault in wn.verify("results", slide="slides").faults:  # doctest: +SKIP
    ...     print(fault.message)
    """
    from wsi_nucssl.models.weights import as_model
    from wsi_nucssl.verification.examination import examine
    from wsi_nucssl.verification.repair import Repair

    checks.whole("workers", workers, 1)
    of = None if model is None else as_model(model)
    return examine(
        paths("path", path),
        slides=locations("slide", slide),
        model=of,
        workers=workers,
        mend=Repair(of, steps) if repair else None,
        on_verdict=on_verdict,
    )
