"""HyperCATE: parameters and fit."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import _safe_indexing
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _num_samples

from hypercate.answers import Answers
from hypercate.answers.arguments import draw_seed, require_treatment
from hypercate.boosting import grow
from hypercate.candidates import INPUTS, Candidates
from hypercate.crossfit import (
    CrossFit,
    held_out_errors,
    held_out_losses,
    held_out_outcomes,
    mean_by_row,
    overlap_weight,
)
from hypercate.device import resolve_device
from hypercate.effects import potential_outcomes
from hypercate.encoding import (
    ArmEncoder,
    FeatureEncoder,
    OutcomeEncoder,
    check_rows,
    check_sample_weight,
)
from hypercate.hypernet.generation import GENERATIONS
from hypercate.hypernet.hypernetwork import PERTURBATIONS, HyperNet, Tensors
from hypercate.hypernet.initialization import DEGREES
from hypercate.learners import LEARNERS
from hypercate.outcome_net import ACTIVATIONS, OutcomeNet
from hypercate.overlap import warn_of_poor_support
from hypercate.propensity import fit_propensity
from hypercate.training import Data, Schedule, Trained, train
from hypercate.uncertainty import (
    SOURCES,
    Calibration,
    calibrate,
    missed_heterogeneity,
    networks,
)

_CALIBRATION_ROWS = 512
_INTEGERS = (
    "n_chunks",
    "n_heads",
    "embedding_dim",
    "n_members",
    "max_epochs",
    "batch_size",
    "patience",
)


class HyperCATE(Answers, BaseEstimator):
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
        Dropout of the generator's last hidden layer, in training and, as ``uncertainty`` says, in
        draws of effects.
    hypernet_noise : float, default=0
        Standard deviation of Gaussian noise, of ``embedding_dim`` values, that conditions the
        generator beside the arm's embedding, in training and, as ``uncertainty`` says, in draws of
        effects; the point prediction is told none. No penalty holds the noise up, so that training
        fades it out with every epoch: how far draws spread depends on when training stops, and
        says little before it is calibrated.
    spectral_norm : bool, default=False
        Keep the generator's matrices at spectral norm 1.
    sharing : {"auto", "intercept", "strong", "moderate", "weak", "independent"}, default="auto"
        How far arms may depart from one another. ``"intercept"``: only by a constant;
        ``"independent"``: their networks share nothing. ``"auto"`` trains every member at
        intercept, moderate, weak and independent, and keeps the one with the smallest factual loss
        on the member's held-out fold. Effects are constant unless others do better by a standard
        error over the held-out rows, and arms share unless sharing is no better by as much.
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
    uncertainty : {"members", "dropout", "noise", "both"}, default="members"
        What draws of effects differ by: members of the ensemble; dropout or noise of the
        hypernetwork, which need ``hypernet_dropout`` or ``hypernet_noise`` above 0; or both,
        members and whichever of these is on. Neither dropout nor noise reaches independent arms:
        with ``"dropout"`` and ``"noise"``, they are not tried.
    calibrate : bool, default=True
        Scale the draws to the standard error of a delete-a-group jackknife over the members, and
        shrink each row's to that of a typical row; see `hypercate.uncertainty`. Without, draws
        have the spread of what they differ by, which is as a rule too small.
    max_epochs : int, default=400
        An epoch is a pass over the data, or 32 minibatches where the pass is longer.
    batch_size : int or "auto", default="auto"
        ``"auto"`` grows with the data, from 128 to 2048.
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
    calibration_ : Calibration
        ``scale`` of the draws' deviations, and ``dof`` of Student's t.
    history_ : DataFrame
        ``member, epoch, train_loss, validation_loss`` of the chosen networks, on the standardised
        outcome (cross-entropy for a binary one).
    n_parameters_ : dict
        ``trained``: parameters of one member's generator, or of its arms' own networks where no
        member's arms share; ``generated``: weights of all arms' networks.

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
        "hypernet_noise": [Interval(Real, 0, None, closed="left")],
        "spectral_norm": ["boolean"],
        "sharing": [StrOptions({"auto", *DEGREES})],
        "inputs": [StrOptions({"auto", *INPUTS})],
        "outcome_hidden": [tuple, list],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "outcome": [StrOptions({"auto", "continuous", "binary"})],
        "control": "no_validation",
        "n_members": [Interval(Integral, 1, None, closed="left")],
        "uncertainty": [StrOptions(set(SOURCES))],
        "calibrate": ["boolean"],
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
        hypernet_noise=0.0,
        spectral_norm=False,
        sharing="auto",
        inputs="auto",
        outcome_hidden=(32, 32, 32, 32, 32),
        activation="blunt_silu",
        outcome="auto",
        control=None,
        n_members=5,
        uncertainty="members",
        calibrate=True,
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
        self.hypernet_noise = hypernet_noise
        self.spectral_norm = spectral_norm
        self.sharing = sharing
        self.inputs = inputs
        self.outcome_hidden = outcome_hidden
        self.activation = activation
        self.outcome = outcome
        self.control = control
        self.n_members = n_members
        self.uncertainty = uncertainty
        self.calibrate = calibrate
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
        require_treatment(treatment, "fit")
        device = resolve_device(self.device)
        features = FeatureEncoder().fit(X)
        arms = ArmEncoder().fit(treatment, self.control)
        n = _num_samples(X)
        check_rows(n, y=y, treatment=treatment)
        weight = check_sample_weight(sample_weight, n)
        used = weight > 0
        if not used.all():
            features.fit(_kept(X, used))
        outcome = OutcomeEncoder().fit(y, self.outcome, weight)
        learner = LEARNERS[self.learner](outcome.kind, outcome.location, outcome.scale)
        arm = arms.transform(treatment)
        _check_support(arm[used], arms.arms_)
        order = pd.unique(arm[used])
        rank = np.argsort(order)
        seed = draw_seed(self.random_state)
        candidates = Candidates.of(self.generation, self.sharing, self.inputs, self.uncertainty)
        rows = _Rows(
            features.transform(_kept(X, used)),
            outcome.transform(_kept(y, used)),
            (weight / weight[used].mean())[used],
            rank[arm[used]],
        )
        n_threads = torch.get_num_threads()
        propensity_model, propensity = fit_propensity(
            rows.x, rows.arm, rows.weight, seed, n_threads
        )
        x, relevance, trees = rows.x, np.ones(features.n_outputs, np.float32), None
        if candidates.need_trees:
            trees, cross_fitted = grow(*rows, seed, n_threads)
            x, relevance = np.hstack([x, cross_fitted]), trees.relevance
            rows = rows._replace(x=x)  # the narrower array is let go
        hypernet = HyperNet(
            net=OutcomeNet(x.shape[1], tuple(self.outcome_hidden), self.activation),
            n_arms=len(order),
            generation=self.generation,
            n_chunks=self.n_chunks,
            n_heads=self.n_heads,
            embedding_dim=self.embedding_dim,
            hidden=tuple(self.hypernet_hidden),
            dropout=self.hypernet_dropout,
            spectral_norm=self.spectral_norm,
            noise=self.hypernet_noise,
        )
        data = Data(
            x=torch.as_tensor(x, device=device),
            y=torch.as_tensor(rows.y, device=device),
            weight=torch.as_tensor(rows.weight, dtype=torch.float32, device=device),
            arm=rows.arm,
        )
        trained = train(
            hypernet,
            data,
            candidates.degrees(),
            candidates.input_scale(relevance, x.shape[1] - len(relevance)),
            self.n_members,
            learner.loss,
            self._schedule(int(used.sum())),
            seed,
            bool(self.verbose),
        )
        row_loss = held_out_losses(
            hypernet.net,
            hypernet.generate(trained.params, trained.buffers),
            data,
            trained.held_rows,
            learner.loss,
        )
        chosen = candidates.choose(
            trained.validation_loss,
            row_loss,
            trained.held_rows,
            overlap_weight(propensity),
        )
        params, buffers = _take(trained, chosen)
        hypernet.advance_spectral(params, buffers, n_steps=100)
        theta = hypernet.generate(params, buffers).to(device)
        by_member = held_out_outcomes(
            hypernet.net, theta, data.x, trained.held_rows, learner.potential_outcome
        )[..., rank]
        crossfit = CrossFit(
            arm[used],
            rows.y * np.float64(outcome.scale) + outcome.location,
            rows.weight,
            mean_by_row(by_member, trained.held_rows, len(x)),
            propensity[:, rank],
        )
        errors = held_out_errors(crossfit, by_member, trained.held_rows)
        warn_of_poor_support(crossfit.propensity, crossfit.arm, rows.weight, arms.arms_)
        sharing = _choice_table(candidates.sharing, trained, chosen)
        inputs = _choice_table(candidates.inputs, trained, chosen)
        calibration = Calibration.none(len(order))
        if self.calibrate and self.n_members > 1:
            some = np.random.default_rng(seed).permutation(len(x))[:_CALIBRATION_ROWS]
            drawn, mixture = networks(hypernet, params, buffers, self.uncertainty, seed)
            outcomes = potential_outcomes(
                hypernet.net, drawn.to(device), x[some], learner.potential_outcome
            )
            members = outcomes[: self.n_members]
            found_constant = self.sharing == "auto" and (sharing["chosen"] == "intercept").all()
            calibration = calibrate(
                np.tensordot(mixture, outcomes, 1),
                (members - members.mean(axis=0)) / (self.n_members - 1) ** 0.5,
                trained.held_rows.shape[1] / len(x),
                missed_heterogeneity(crossfit)[order] if found_constant else None,
            )
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
        owned = self.generation == "none" or (sharing["chosen"] == "independent").all()
        self.n_parameters_ = {
            "trained": sum(p[0].numel() for name, p in params.items() if (name == "own") == owned),
            "generated": hypernet.n_arms * hypernet.net.n_weights,
        }
        self._features, self._arms, self._outcome, self._learner = features, arms, outcome, learner
        self._hypernet, self._params, self._buffers = hypernet, params, buffers
        self._trees = trees if "boosted" in inputs["chosen"].to_numpy() else None
        self._rank, self._seed, self._used = rank, seed, used
        self._propensity, self._crossfit, self._errors = propensity_model, crossfit, errors
        self._source, self.calibration_ = self.uncertainty, calibration
        return self

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
        if self.uncertainty != "members":
            kinds = PERTURBATIONS if self.uncertainty == "both" else (self.uncertainty,)
            rates = [f"hypernet_{kind}" for kind in kinds]
            off = all(getattr(self, rate) == 0 for rate in rates)
            if off or self.generation == "none" or self.sharing == "independent":
                raise ValueError(
                    f"uncertainty={self.uncertainty!r} draws by {' or '.join(kinds)} of the "
                    f"hypernetwork: set {' or '.join(rates)} above 0, with a generation other "
                    "than 'none' and a sharing other than 'independent'"
                )
        if self.hypernet_hidden[-1] % self.n_heads:
            raise ValueError(
                f"n_heads={self.n_heads} must divide the last width of hypernet_hidden, "
                f"{self.hypernet_hidden[-1]}"
            )

    def _schedule(self, n: int) -> Schedule:
        batch_size = self.batch_size
        if batch_size == "auto":
            batch_size = int(np.clip(n // 32, 128, 2048))
        return Schedule(
            max_epochs=int(self.max_epochs),
            batch_size=int(batch_size),
            learning_rate=float(self.learning_rate),
            weight_decay=float(self.weight_decay),
            validation_fraction=float(self.validation_fraction),
            patience=int(self.patience),
        )


class _Rows(NamedTuple):
    """The rows that are fitted, encoded."""

    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    arm: np.ndarray


def _kept(values: Any, used: np.ndarray) -> Any:
    return values if used.all() else _safe_indexing(values, np.flatnonzero(used))


def _check_support(arm: np.ndarray, labels: np.ndarray) -> None:
    for label, count in zip(labels, np.bincount(arm, minlength=len(labels)), strict=True):
        if count < 2:
            raise ValueError(
                f"arm {label.item()!r} has {count} row(s) of positive weight, but needs at least "
                "2, one to train on and one to hold out: drop the arm or merge it with another"
            )


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
