"""HyperCATE: parameters, fit, and the questions that a fitted model answers."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _num_samples, check_is_fitted

from hypercate.boosting import grow
from hypercate.candidates import INPUTS, Candidates
from hypercate.device import resolve_device
from hypercate.effects import EffectInference, against, contrast, interval, potential_outcomes
from hypercate.encoding import (
    ArmEncoder,
    FeatureEncoder,
    OutcomeEncoder,
    check_rows,
    check_sample_weight,
)
from hypercate.hypernet.generation import GENERATIONS
from hypercate.hypernet.hypernetwork import HyperNet, Tensors
from hypercate.hypernet.initialization import DEGREES
from hypercate.learners import LEARNERS
from hypercate.outcome_net import ACTIVATIONS, OutcomeNet
from hypercate.scoring import r_score
from hypercate.training import Data, Schedule, Trained, train
from hypercate.uncertainty import draw_weights

_N_DRAWS = 200
_INTEGERS = (
    "n_chunks",
    "n_heads",
    "embedding_dim",
    "n_members",
    "max_epochs",
    "batch_size",
    "patience",
)
_SEEDS = np.iinfo(np.int32).max


class HyperCATE(BaseEstimator):
    """Heterogeneous treatment effects by a hypernetwork that generates every arm's network.

    Parameters
    ----------
    learner : {"t"}, default="t"
        What is generated: ``"t"`` is one potential-outcome network an arm.
    generation : {"chunk", "component", "once", "none"}, default="chunk"
        How weights are generated: in equal chunks, a layer at a time, or all at once. ``"none"``
        trains plain independent weights for each arm, as an ablation.
    n_chunks : int, default=8
        Number of chunks of ``generation="chunk"``.
    n_heads : int, default=1
        Output heads of the generator; each reads an equal share of its last hidden layer, whose
        width it has to divide.
    embedding_dim : int, default=8
        Size of the learned embeddings of arms, layers and chunks.
    hypernet_hidden : tuple of int, default=(16,)
        Widths of the generator's hidden layers.
    hypernet_dropout : float in [0, 1), default=0
        Dropout of the generator's last hidden layer, in training and in draws of effects.
    spectral_norm : bool, default=False
        Keep the generator's matrices at spectral norm 1.
    sharing : {"auto", "intercept", "strong", "moderate", "weak"}, default="auto"
        How far arms may depart from one another. ``"intercept"``: only by a constant. ``"auto"``
        trains every member at intercept, moderate and weak, and keeps the one with the smallest
        factual loss on the member's held-out fold; effects are constant unless others do better
        by a standard error.
    inputs : {"auto", "raw", "boosted"}, default="auto"
        How the networks see the covariates. ``"raw"``: encoded, all alike. ``"boosted"``: each
        scaled by its importance in boosted trees, with the trees' cross-fitted predictions of
        every arm's outcome as further inputs. ``"auto"`` tries both, crossed with the degrees of
        sharing.
    outcome_hidden : tuple of int, default=(32, 32, 32, 32, 32)
        Widths of the potential-outcome network's hidden layers.
    activation : str, default="blunt_silu"
        Of the potential-outcome network: blunt_silu, blunt_softplus, silu, gelu, elu, tanh or relu.
    outcome : {"auto", "continuous", "binary"}, default="auto"
        ``"auto"`` takes y as binary if it holds two distinct strings, or only 0 and 1 (or
        booleans), both present. A binary outcome gives probabilities, and risk differences for
        effects.
    control : label, default=None
        The control arm; the first in sorted order by default.
    n_members : int, default=5
        Members of the ensemble.
    max_epochs : int, default=400
        An epoch is a pass over the data, or 32 minibatches where the pass is longer.
    batch_size : int or "auto", default="auto"
        ``"auto"`` grows with the data, from 128 to 8192.
    learning_rate : float, default=0.005
    weight_decay : float, default=0.01
    validation_fraction : float in (0, 1), default=0.2
        Share of each arm's rows that a member holds out.
    patience : int, default=15
        Epochs in which the loss on the held-out fold does not fall by 1 %, after which a network
        stops.
    device : str, default="auto"
        ``"auto"`` uses a GPU if there is one.
    random_state : int, RandomState instance or None, default=None
        Seeds everything; an int makes fits reproducible on the same device.
    verbose : bool, default=False
        Show a progress bar.

    Attributes
    ----------
    arms_ : ndarray, shape (n_arms,)
        Labels of the arms, control first; the order of every output.
    classes_ : ndarray, shape (2,), or None
        Labels of a binary outcome; effects are of the probability of the second.
    outcome_ : {"continuous", "binary"}
    n_features_in_ : int
    feature_names_in_ : ndarray of str, shape (n_features_in_,)
        Only if X was a frame with string column names.
    encoded_names_ : list of str
        Names of the encoded covariates.
    sharing_, inputs_ : DataFrame, a row a member
        Least held-out factual loss at each degree of sharing and with each way to see the inputs,
        and the ``chosen`` one.
    history_ : DataFrame
        ``member, epoch, train_loss, validation_loss`` of the chosen networks, on the standardised
        outcome (cross-entropy for a binary one).
    n_parameters_ : dict
        ``trained``: parameters of one member's generator; ``generated``: weights of all arms'
        networks that it makes.

    References
    ----------
    Chauhan, Zhou, Molaei, Ghosheh & Clifton (2024), "Dynamic inter-treatment information sharing
    for individualized treatment effects estimation", AISTATS.

    Examples
    --------
    >>> est = HyperCATE(random_state=0).fit(X, y, treatment)  # doctest: +SKIP
    >>> est.effect(X, T0="control", T1="drug")  # doctest: +SKIP
    """

    __metadata_request__fit: ClassVar = {"treatment": True, "sample_weight": True}
    __metadata_request__score: ClassVar = {"treatment": True, "sample_weight": True}

    _parameter_constraints: ClassVar[dict] = {
        "learner": [StrOptions(set(LEARNERS))],
        "generation": [StrOptions(set(GENERATIONS))],
        "n_chunks": [Interval(Integral, 1, None, closed="left")],
        "n_heads": [Interval(Integral, 1, None, closed="left")],
        "embedding_dim": [Interval(Integral, 1, None, closed="left")],
        "hypernet_hidden": [tuple, list],
        "hypernet_dropout": [Interval(Real, 0, 1, closed="left")],
        "spectral_norm": ["boolean"],
        "sharing": [StrOptions({"auto", *DEGREES})],
        "inputs": [StrOptions({"auto", *INPUTS})],
        "outcome_hidden": [tuple, list],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "outcome": [StrOptions({"auto", "continuous", "binary"})],
        "control": "no_validation",
        "n_members": [Interval(Integral, 1, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "patience": [Interval(Integral, 1, None, closed="left")],
        "device": [str, torch.device],
        "random_state": ["random_state"],
        "verbose": ["boolean"],
    }

    def __init__(
        self,
        *,
        learner="t",
        generation="chunk",
        n_chunks=8,
        n_heads=1,
        embedding_dim=8,
        hypernet_hidden=(16,),
        hypernet_dropout=0.0,
        spectral_norm=False,
        sharing="auto",
        inputs="auto",
        outcome_hidden=(32, 32, 32, 32, 32),
        activation="blunt_silu",
        outcome="auto",
        control=None,
        n_members=5,
        max_epochs=400,
        batch_size="auto",
        learning_rate=5e-3,
        weight_decay=0.01,
        validation_fraction=0.2,
        patience=15,
        device="auto",
        random_state=None,
        verbose=False,
    ):
        self.learner = learner
        self.generation = generation
        self.n_chunks = n_chunks
        self.n_heads = n_heads
        self.embedding_dim = embedding_dim
        self.hypernet_hidden = hypernet_hidden
        self.hypernet_dropout = hypernet_dropout
        self.spectral_norm = spectral_norm
        self.sharing = sharing
        self.inputs = inputs
        self.outcome_hidden = outcome_hidden
        self.activation = activation
        self.outcome = outcome
        self.control = control
        self.n_members = n_members
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.target_tags.required = True
        return tags

    def fit(self, X: Any, y: Any, treatment: Any = None, *, sample_weight: Any = None) -> Self:
        """Fit the potential outcomes of every arm.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
            Numeric, boolean, categorical and string columns, with missing values.
        y : array-like, shape (n,)
            Observed outcome.
        treatment : array-like, shape (n,)
            Arm that each row received, any labels. Required.
        sample_weight : array-like, shape (n,), optional

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If a parameter or the data cannot be used; the message names the column, arm or row.
        FloatingPointError
            If training diverges.
        """
        self._check_parameters()
        _require_treatment(treatment, "fit")
        device = resolve_device(self.device)
        features = FeatureEncoder().fit(X)
        arms = ArmEncoder().fit(treatment, self.control)
        n = _num_samples(X)
        check_rows(n, y=y, treatment=treatment)
        weight = check_sample_weight(sample_weight, n)
        used = weight > 0
        if not used.all():
            features.fit(_safe_indexing(X, np.flatnonzero(used)))
        outcome = OutcomeEncoder().fit(y, self.outcome, weight)
        learner = LEARNERS[self.learner](outcome.kind, outcome.location, outcome.scale)
        arm = arms.transform(treatment)
        _check_support(arm[used], arms.arms_)
        order = pd.unique(arm[used])
        rank = np.argsort(order)
        seed = _draw_seed(self.random_state)
        candidates = Candidates.of(self.generation, self.sharing, self.inputs)
        rows = _Rows(
            features.transform(X)[used],
            outcome.transform(_kept(y, used)),
            (weight / weight[used].mean())[used],
            rank[arm[used]],
        )
        x, relevance, trees = rows.x, np.ones(features.n_outputs, np.float32), None
        if candidates.need_trees:
            trees, cross_fitted = grow(*rows, seed, torch.get_num_threads())
            x, relevance = np.hstack([x, cross_fitted]), trees.relevance
        hypernet = HyperNet(
            net=OutcomeNet(x.shape[1], tuple(self.outcome_hidden), self.activation),
            n_arms=len(order),
            generation=self.generation,
            n_chunks=self.n_chunks,
            n_heads=self.n_heads,
            embedding_dim=self.embedding_dim,
            hidden=tuple(self.hypernet_hidden),
            dropout=0.0 if self.generation == "none" else self.hypernet_dropout,
            spectral_norm=self.spectral_norm,
        )
        trained = train(
            hypernet,
            Data(
                x=torch.as_tensor(x, device=device),
                y=torch.as_tensor(rows.y, device=device),
                weight=torch.as_tensor(rows.weight, dtype=torch.float32, device=device),
                arm=rows.arm,
            ),
            candidates.degrees(),
            candidates.input_scale(relevance, x.shape[1] - len(relevance)),
            self.n_members,
            learner.loss,
            self._schedule(int(used.sum())),
            seed,
            bool(self.verbose),
        )
        chosen = candidates.choose(trained.validation_loss)
        params, buffers = _take(trained, chosen)
        hypernet.advance_spectral(params, buffers, n_steps=100)
        sharing = _choice_table(candidates.sharing, trained, chosen)
        inputs = _choice_table(candidates.inputs, trained, chosen)
        history = _history_table(trained, chosen)
        if hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        if features.feature_names_in_ is not None:
            self.feature_names_in_: np.ndarray = features.feature_names_in_
        self.n_features_in_ = features.n_features_in_
        self.encoded_names_ = features.output_names
        self.arms_ = arms.arms_
        self.classes_ = outcome.classes_
        self.outcome_ = outcome.kind
        self.sharing_, self.inputs_, self.history_ = sharing, inputs, history
        self.n_parameters_ = {
            "trained": sum(tensor[0].numel() for tensor in params.values()),
            "generated": hypernet.n_arms * hypernet.net.n_weights,
        }
        self._features, self._arms, self._outcome, self._learner = features, arms, outcome, learner
        self._hypernet, self._params, self._buffers = hypernet, params, buffers
        self._trees = trees if "boosted" in inputs["chosen"].to_numpy() else None
        self._rank, self._seed = rank, seed
        return self

    def predict_outcomes(self, X: Any) -> np.ndarray:
        """Potential outcomes of every arm.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)

        Returns
        -------
        ndarray, shape (n, n_arms)
            In the units of y, or probabilities of ``classes_[1]``; columns in the order of arms_.
        """
        x = self._inputs(X)
        params, buffers = self._tensors()
        theta = self._hypernet.generate(params, buffers)[:, self._rank]
        weight = torch.full((len(theta),), 1 / len(theta), dtype=torch.float64, device=theta.device)
        return potential_outcomes(
            self._hypernet.net,
            theta,
            x,
            self._learner.potential_outcome,
            weight,
        )

    def predict(self, X: Any) -> np.ndarray:
        """CATE of every arm against control.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)

        Returns
        -------
        ndarray, shape (n,) for two arms, (n, n_arms - 1) for more
            In the units of y, or risk differences for a binary outcome.
        """
        return against(self.predict_outcomes(X))

    def effect(self, X: Any, T0: Any = None, T1: Any = None) -> np.ndarray:
        """CATE of arm T1 against arm T0.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
        T0 : label or array-like of labels, shape (n,), optional
            The arm compared with; control by default.
        T1 : label or array-like of labels, shape (n,), optional
            By default every arm but T0, as in `predict`.

        Returns
        -------
        ndarray, shape (n,); (n, n_arms - 1) with more than two arms and no T1

        Raises
        ------
        ValueError
            If T0 or T1 is not one of the arms.
        """
        return self._contrast(self.predict_outcomes(X), T0, T1)

    def sample_effects(
        self,
        X: Any,
        n_samples: int = _N_DRAWS,
        random_state: Any = None,
        *,
        T0: Any = None,
        T1: Any = None,
    ) -> np.ndarray:
        """Draws of the effect as a function: a draw is one member's, and the same for all rows.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
        n_samples : int, default=200
        random_state : int, RandomState instance or None, default=None
            None repeats the draws that the fit's seed gives.
        T0, T1 : label or array-like of labels, optional
            As in `effect`.

        Returns
        -------
        ndarray, shape (n_samples, n) or (n_samples, n, n_arms - 1)

        Raises
        ------
        ValueError
            If nothing differs between draws: one member and no hypernet dropout.
        """
        x = self._inputs(X)
        if isinstance(n_samples, bool) or not isinstance(n_samples, Integral):
            raise TypeError(f"n_samples={n_samples!r} must be an integer")
        if n_samples < 1:
            raise ValueError(f"n_samples={n_samples} must be at least 1")
        params, buffers = self._tensors()
        if len(buffers["departure"]) == 1 and not self._hypernet.dropout:
            raise ValueError(
                "one member without hypernet dropout has no draws that differ: fit with "
                "n_members of 2 or more, or hypernet_dropout above 0"
            )
        seed = self._seed if random_state is None else _draw_seed(random_state)
        draws = []
        for theta, which in draw_weights(self._hypernet, params, buffers, int(n_samples), seed):
            outcomes = potential_outcomes(
                self._hypernet.net, theta[:, self._rank], x, self._learner.potential_outcome
            )
            draws.append(self._contrast(outcomes, T0, T1)[which])
        return np.concatenate(draws)

    def effect_interval(
        self, X: Any, *, T0: Any = None, T1: Any = None, alpha: float = 0.05
    ) -> tuple[np.ndarray, np.ndarray]:
        """Interval of the effect: quantiles of the draws, not calibrated.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
        T0, T1 : label or array-like of labels, optional
            As in `effect`.
        alpha : float in (0, 1), default=0.05
            The interval has nominal level 1 - alpha.

        Returns
        -------
        lower, upper : ndarray
            Of the shape of `effect`.
        """
        return interval(self.sample_effects(X, T0=T0, T1=T1), alpha)

    def effect_inference(self, X: Any, *, T0: Any = None, T1: Any = None) -> EffectInference:
        """Effects with their draws; ``.summary_frame(alpha)`` is a table on the index of X.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
        T0, T1 : label or array-like of labels, optional
            As in `effect`.

        Returns
        -------
        EffectInference
        """
        effects = self.effect(X, T0, T1)
        control = 0 if T0 is None or T1 is not None else self._arms.code(T0)
        return EffectInference(
            point_estimate=effects,
            draws=self.sample_effects(X, T0=T0, T1=T1),
            index=X.index if isinstance(X, pd.DataFrame) else pd.RangeIndex(len(effects)),
            arms=np.delete(self.arms_, control).tolist(),
        )

    def ate(self, X: Any) -> float | np.ndarray:
        """Average effect against control over the rows of X.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)

        Returns
        -------
        float for two arms, ndarray of shape (n_arms - 1,) for more
        """
        return _average(self.predict(X))

    def ate_interval(
        self, X: Any, *, alpha: float = 0.05
    ) -> tuple[float | np.ndarray, float | np.ndarray]:
        """Interval of the average effect over the rows of X: quantiles of the draws' averages.

        It speaks of the model's uncertainty about these rows, not of sampling error.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
        alpha : float in (0, 1), default=0.05

        Returns
        -------
        lower, upper : float for two arms, ndarray of shape (n_arms - 1,) for more
        """
        lower, upper = interval(self.sample_effects(X).mean(axis=1), alpha)
        return _unboxed(lower), _unboxed(upper)

    def att(self, X: Any, treatment: Any) -> float | np.ndarray:
        """Average effect of each arm over the rows that received it.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
        treatment : array-like, shape (n,)

        Returns
        -------
        float for two arms, ndarray of shape (n_arms - 1,) for more

        Raises
        ------
        ValueError
            If no row received one of the arms.
        """
        effects = self.predict(X)
        check_rows(len(effects), treatment=treatment)
        arm = self._arms.transform(treatment)
        by_arm = effects[:, None] if effects.ndim == 1 else effects
        averages = np.empty(len(self.arms_) - 1)
        for k in range(len(averages)):
            received = arm == k + 1
            if not received.any():
                raise ValueError(
                    f"no row received arm {self.arms_[k + 1].item()!r}: its ATT is undefined"
                )
            averages[k] = by_arm[received, k].mean()
        return averages if effects.ndim == 2 else float(averages[0])

    def score(self, X: Any, y: Any, treatment: Any = None, *, sample_weight: Any = None) -> float:
        """R-score: how much of the effects' variation is explained; higher is better.

        Never needs the true effect; see `hypercate.scoring.r_score`.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
        y : array-like, shape (n,)
        treatment : array-like, shape (n,)
            Required.
        sample_weight : array-like, shape (n,), optional

        Returns
        -------
        float, at most 1; 0 is as good as constant effects
        """
        _require_treatment(treatment, "score")
        effects = self.predict(X)
        n = len(effects)
        check_rows(n, y=y, treatment=treatment)
        weight = check_sample_weight(sample_weight, n)
        target = self._outcome.transform(y) * np.float64(self._outcome.scale)
        used = weight > 0
        return r_score(
            effects.reshape(n, -1)[used],
            self._encode(X)[used],
            target[used],
            self._arms.transform(treatment)[used],
            weight[used],
            self._seed,
        )

    def _check_parameters(self) -> None:
        self._validate_params()
        for name in _INTEGERS:
            if isinstance(getattr(self, name), bool | np.bool_):
                raise TypeError(f"{name}={getattr(self, name)!r} must be an integer")
        for name in ("hypernet_hidden", "outcome_hidden"):
            widths = getattr(self, name)
            whole = all(isinstance(w, Integral) and not isinstance(w, bool) for w in widths)
            if not widths or not whole or min(widths) < 1:
                raise ValueError(f"{name}={widths!r} must hold positive integers, at least one")
        if self.hypernet_hidden[-1] % self.n_heads:
            raise ValueError(
                f"n_heads={self.n_heads} must divide the last width of hypernet_hidden, "
                f"{self.hypernet_hidden[-1]}"
            )

    def _schedule(self, n: int) -> Schedule:
        batch_size = self.batch_size
        if batch_size == "auto":
            batch_size = int(np.clip(n // 32, 128, 8192))
        return Schedule(
            max_epochs=int(self.max_epochs),
            batch_size=int(batch_size),
            learning_rate=float(self.learning_rate),
            weight_decay=float(self.weight_decay),
            validation_fraction=float(self.validation_fraction),
            patience=int(self.patience),
        )

    def _encode(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return self._features.transform(X)

    def _inputs(self, X: Any) -> np.ndarray:
        """Inputs of the networks; what no network looks at is 0."""
        x = self._encode(X)
        if self._trees is not None:
            return np.hstack([x, self._trees.predict(x)])
        n_unseen = self._hypernet.net.n_inputs - x.shape[1]
        return np.pad(x, ((0, 0), (0, n_unseen))) if n_unseen else x

    def _tensors(self) -> tuple[Tensors, Tensors]:
        device = resolve_device(self.device)
        params = {name: tensor.to(device) for name, tensor in self._params.items()}
        buffers = {name: tensor.to(device) for name, tensor in self._buffers.items()}
        return params, buffers

    def _contrast(self, outcomes: np.ndarray, T0: Any, T1: Any) -> np.ndarray:
        n = outcomes.shape[-2]
        if T1 is None and (T0 is None or np.ndim(T0) == 0):
            return against(outcomes, 0 if T0 is None else self._arms.code(T0))
        if T1 is None:
            raise ValueError("T0 differs by row, so T1 is needed too: pass a label or n labels")
        return contrast(outcomes, self._codes("T0", T0, n), self._codes("T1", T1, n))

    def _codes(self, name: str, label: Any, n: int) -> np.ndarray:
        if label is None or np.ndim(label) == 0:
            return np.full(n, 0 if label is None else self._arms.code(label))
        check_rows(n, **{name: label})
        return self._arms.transform(label, name)


class _Rows(NamedTuple):
    """The rows that are fitted, encoded."""

    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    arm: np.ndarray


def _kept(values: Any, used: np.ndarray) -> Any:
    return values if used.all() else _safe_indexing(values, np.flatnonzero(used))


def _require_treatment(treatment: Any, method: str) -> None:
    if treatment is None:
        raise TypeError(
            f"treatment is missing: pass the arm that each row received, "
            f"{method}(X, y, treatment); inside a Pipeline or a search, enable scikit-learn's "
            "metadata routing"
        )


def _check_support(arm: np.ndarray, labels: np.ndarray) -> None:
    for label, count in zip(labels, np.bincount(arm, minlength=len(labels)), strict=True):
        if count < 2:
            raise ValueError(
                f"arm {label.item()!r} has {count} row(s) of positive weight, but needs at least "
                "2, one to train on and one to hold out: drop the arm or merge it with another"
            )


def _draw_seed(random_state: Any) -> int:
    """A seed; None asks the system for one, so that numpy's global state stays as it is."""
    if random_state is None:
        return int(np.random.default_rng().integers(_SEEDS))
    return int(check_random_state(random_state).randint(_SEEDS))


def _take(trained: Trained, chosen: np.ndarray) -> tuple[Tensors, Tensors]:
    """Each member's chosen network, on the CPU."""
    nets = torch.as_tensor(_chosen_nets(trained, chosen), device="cpu")
    params = {name: tensor.cpu()[nets] for name, tensor in trained.params.items()}
    buffers = {name: tensor.cpu()[nets] for name, tensor in trained.buffers.items()}
    return params, buffers


def _chosen_nets(trained: Trained, chosen: np.ndarray) -> np.ndarray:
    n_members, n_degrees = trained.validation_loss.shape
    return np.arange(n_members) * n_degrees + chosen


def _choice_table(names: list[str], trained: Trained, chosen: np.ndarray) -> pd.DataFrame:
    """Least loss of each member by the candidates' name, and the name it chose."""
    table = (
        pd.DataFrame(trained.validation_loss.T, index=names).groupby(level=0, sort=False).min().T
    )
    table.index.name = "member"
    table["chosen"] = np.asarray(names)[chosen]
    return table


def _history_table(trained: Trained, chosen: np.ndarray) -> pd.DataFrame:
    table = pd.DataFrame(
        trained.history, columns=["member", "epoch", "train_loss", "validation_loss"]
    )
    table = table[table["member"].isin(_chosen_nets(trained, chosen))]
    table = table.astype({"member": int, "epoch": int})
    table["member"] //= trained.validation_loss.shape[1]
    return table.sort_values(["member", "epoch"], ignore_index=True)


def _average(effects: np.ndarray) -> float | np.ndarray:
    return _unboxed(effects.mean(axis=0))


def _unboxed(value: np.ndarray) -> float | np.ndarray:
    return float(value) if np.ndim(value) == 0 else value
