"""How many parameters a generator trains, compared with the weights that it generates."""

from __future__ import annotations

from typing import Any

import pandas as pd

from hypercate.fitted import Generator
from hypercate.inspection.trained import fitted_of, require_trained

_PARTS = {"common": "common", "arms": "embeddings", "pieces": "embeddings", "heads": "heads"}
_COLUMNS = ("common", "embeddings", "matrices", "heads", "own")


def compression(est: Any) -> pd.DataFrame:
    """Number of parameters that one member trains, by part, and of weights that they generate.

    A hypernetwork is a way to share weights (Ha, Dai & Le, 2017, "HyperNetworks", ICLR): if it
    trains fewer parameters than its networks have weights, arms must have something in common.

    Parameters
    ----------
    est : HyperCATE
        Fitted, or loaded from a file.

    Returns
    -------
    DataFrame
        One row for the networks of ``outcomes``, and one for the networks of ``effects`` if the
        learner has any. Columns: ``common``, weights that arms share; ``embeddings`` of arms and of
        pieces of the weights; ``matrices`` of the generator, with its biases; ``heads``, which emit
        the weights; ``own``, weights that belong to a single arm; ``trained``, the sum of these;
        ``generated``, the weights of all networks; and ``ratio``, generated weights per trained
        parameter. The sums of ``trained`` and ``generated`` are those of ``est.n_parameters_``. If
        arms share in some members and are independent in others, the counts are those of a member
        whose arms share.

    Raises
    ------
    NotFittedError
        If est is not fitted.
    ValueError
        If nothing was trained (``effort="instant"``).

    Examples
    --------
    >>> from hypercate.inspection import compression
    >>> compression(est).columns.tolist()
    ['common', 'embeddings', 'matrices', 'heads', 'own', 'trained', 'generated', 'ratio']
    """
    fitted = fitted_of(est)
    require_trained(fitted)
    names = ("outcomes", "effects")[: len(fitted.generators)]
    return pd.DataFrame(
        [_counts(generator) for generator in fitted.generators],
        index=pd.Index(names, name="networks"),
    )


def _counts(generator: Generator) -> dict[str, float]:
    counts: dict[str, float] = dict.fromkeys(_COLUMNS, 0)
    for name in generator.trained:
        part = "own" if name == "own" else _PARTS.get(name, "matrices")
        counts[part] += generator.params[name][0].size
    trained = generator.n_parameters
    generated = (
        generator.hypernet.n_arms * generator.hypernet.net.of(generator.hypernet.output).n_weights
    )
    return {**counts, "trained": trained, "generated": generated, "ratio": generated / trained}
