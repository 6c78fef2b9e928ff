"""HyperCATE: parameters and fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from inspect import signature
from itertools import pairwise
from numbers import Integral, Real
from os import PathLike
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import RegressorTags
from sklearn.utils.validation import check_is_fitted

from hypercate import persistence
from hypercate.added.fitting import add_arms
from hypercate.answers import Answers
from hypercate.answers.arguments import draw_seed, require_treatment
from hypercate.arm_weights import with_arms_alike
from hypercate.assemble import assemble
from hypercate.checkpoints import Checkpoint
from hypercate.compat import HasMethods, Interval, StrOptions
from hypercate.effort import EFFORTS, Effort
from hypercate.encoding.checks import listed
from hypercate.ensemble import Ensemble, fit_ensemble
from hypercate.folds import Folds
from hypercate.generator.architectures import ARCHITECTURES
from hypercate.generator.draws import SOURCES
from hypercate.generator.generation import GENERATIONS, LAYERWISE
from hypercate.generator.hypernetwork import OWN_DEPARTURE, PERTURBATIONS, HyperNet
from hypercate.generator.noise import NOISE_KINDS
from hypercate.generator.outcome_net import ACTIVATIONS, OutcomeNet
from hypercate.generator.profiles import PROFILES
from hypercate.identity import identity_of
from hypercate.learners import LEARNERS, EffectLearner
from hypercate.nuisance.assignment import fit_assignment
from hypercate.nuisance.censoring import with_pseudo_outcomes
from hypercate.nuisance.views import Views, joint_views, model_views
from hypercate.outcomes import CENSORED, LOG_LINKED, OUTCOMES, Censored
from hypercate.overlap import warn_of_poor_support
from hypercate.pretraining.emission import untried
from hypercate.pretraining.instant import emit_ensemble
from hypercate.progress import LOG, bars, stage
from hypercate.select import INPUTS, Candidates
from hypercate.several.fitted import FittedOutcomes
from hypercate.several.reading import check_kinds, read_studies
from hypercate.several.training import train_arms
from hypercate.study import Encoded
from hypercate.threads import own_threads
from hypercate.train.context import n_moments
from hypercate.train.device import resolve_device
from hypercate.train.processes import STRATEGIES, Processes
from hypercate.train.run import Schedule
from hypercate.updated.fitting import update

_INTEGERS = (
    "n_chunks",
    "rank",
    "n_heads",
    "embedding_dim",
    "n_members",
    "max_epochs",
    "batch_size",
    "patience",
)
_MODELS = ("model_propensity", "model_outcome")
_OF_TRAINING = (
    "learner",
    "hypernet",
    "context",
    "generation",
    "n_chunks",
    "rank",
    "n_heads",
    "embedding_dim",
    "hypernet_hidden",
    "hypernet_dropout",
    "hypernet_noise",
    "noise_kind",
    "spectral_norm",
    "sharing",
    "inputs",
    "outcome_hidden",
    "widths",
    "depths",
    "activation",
    "pretrained",
    "second_stage",
    "model_outcome",
    "uncertainty",
    "calibrate",
    "max_epochs",
    "batch_size",
    "learning_rate",
    "weight_decay",
    "patience",
    "devices",
    "strategy",
)


class HyperCATE(Answers, BaseEstimator):
    """Heterogeneous treatment effects by a hypernetwork that generates every arm's network.

    Parameters
    ----------
    learner : {"t", "s", "tarnet", "x", "ra", "dr", "r"}, default="t"
        Which networks are generated, and what they are fitted to. ``"t"``: one potential-outcome
        network per arm. ``"s"`` and ``"tarnet"``: the same, but the arms share everything except
        the first bias (``"s"``), or share the first half of the layers (``"tarnet"``). The other
        learners have two stages: besides the arms' networks, which give the level of the outcome,
        there is one network for the effect of each arm, fitted to pseudo-outcomes from
        cross-fitted nuisance models. ``"x"``: effects imputed in both groups, weighted by the
        propensity; ``"ra"``: regression adjustment; ``"dr"``: doubly robust scores; ``"r"``:
        residuals of the outcome regressed on residuals of the treatment. See `hypercate.learners`
        for the sources. The nuisance models are the networks that ``effort="instant"`` emits, if
        `pretrained` allows these, and otherwise boosted trees.
    hypernet : {"mlp", "rnn", "cnn", "attention"}, default="mlp"
        The hypernetwork's architecture. ``"mlp"``: every piece of the weights (a chunk or a layer)
        is generated from its own embedding and the arm's embedding. The others first process the
        sequence of pieces, by a recurrent network, a convolution or attention.
    context : {None, "data"}, default=None
        What the generator is told about each arm besides its embedding. ``"data"``: a summary of
        those rows of the arm that a member may see: the mean of every input, its covariance with
        the outcome, the mean outcome and the number of rows, each minus what all arms have in
        common. Arms with similar rows then get similar networks; this has not reduced errors
        where it was tried (``docs/how-it-works.md``). The summary is stored with the model, so
        that predictions need no training rows; if an arm has very few rows, the summary reveals
        much about them.
    effort : {"balanced", "instant", "fast", "thorough"}, default="balanced"
        ``"balanced"`` trains a hypernetwork on the rows, which takes seconds for a thousand rows
        on one thread. ``"fast"`` takes about half the time: constant effects are not tried as a
        candidate, patience is half of `patience`, minibatches are twice as large, and the networks
        that the search found are kept as they are, fitted on three quarters of the rows that a
        member may see. ``"thorough"`` has twice `n_members` members and takes nearly twice as
        long. ``"instant"`` trains nothing: a generator that was trained on simulated studies,
        where every effect is known, reads the rows and emits every arm's network; see
        `hypercate.pretraining`. It is meant for studies with few rows, and for first looks. The
        parameters of the hypernetwork and of its training have no effect then, and must keep their
        default values. Draws of effects come from the posterior of the networks' last layers.
    generation : {"chunk", "component", "low_rank", "once", "none"}, default="chunk"
        How weights are generated: in equal chunks, one layer at a time, or all at once.
        ``"low_rank"``: one layer at a time, with the layer's matrix as the product of a matrix
        with `rank` columns and a matrix with `rank` rows, so that the generator of wide networks
        stays small. ``"none"`` trains plain independent weights for each arm, as an ablation.
    n_chunks : int, default=8
        Number of chunks of ``generation="chunk"``.
    rank : int, default=4
        Number of columns and rows of the two factors with ``generation="low_rank"``; a matrix that
        is not larger than its factors is generated directly.
    n_heads : int, default=1
        Number of output heads of the generator. Each head reads an equal share of the last hidden
        layer, so the width of that layer must be divisible by `n_heads`.
    embedding_dim : int, default=8
        Size of the learned embeddings of arms, layers and chunks.
    hypernet_hidden : tuple of int, default=(16,)
        Widths of the generator's hidden layers.
    hypernet_dropout : float in [0, 1), default=0
        Dropout rate of the generator's last hidden layer, in training and, depending on
        `uncertainty`, in draws of effects.
    hypernet_noise : float, default=0
        Standard deviation of Gaussian noise in the generator, in training and, depending on
        `uncertainty`, in draws of effects; the point prediction has no noise.
    noise_kind : {"input", "weights"}, default="input"
        ``"input"``: ``embedding_dim`` values of noise are an input of the generator, next to the
        arm's embedding. No penalty keeps this noise from shrinking, and training reduces it with
        every epoch: the spread of the draws depends on when training stops, and means little
        before it is calibrated. ``"weights"``: noise is added to every generated weight. Its size
        is learned for each weight, and a penalty keeps it large where the rows say little about
        that weight (variational inference, with ``hypernet_noise``, in units of the departure of
        an arm, as the prior's standard deviation; see `hypercate.generator.noise`). Even without
        calibration, draws are then about as wide as the errors, at the price of larger errors
        (``docs/how-it-works.md``).
    spectral_norm : bool, default=False
        Whether to keep the generator's matrices at spectral norm 1.
    sharing : str, default="auto"
        How far the networks of the arms may differ from one another. ``"intercept"``: only by a
        constant; ``"s"``: by the first bias, as with an indicator of the arm; ``"tarnet"``: in the
        last half of the layers; ``"strong"``, ``"moderate"``, ``"weak"``: in every layer, more
        with depth; ``"independent"``: the networks share nothing. ``"auto"`` tries ``"intercept"``
        and ``"weak"``, and also ``"independent"`` if there are more than two arms. Every member
        takes the one with the smallest factual loss on its own validation rows.
    inputs : {"auto", "raw", "boosted"}, default="auto"
        How the networks see the covariates. ``"raw"``: encoded, all on the same scale.
        ``"boosted"``: each scaled by its importance in boosted trees, with the trees' cross-fitted
        predictions of every arm's outcome as further inputs. ``"auto"`` tries both, each combined
        with every degree of sharing.
    outcome_hidden : tuple of int, default=(32, 32, 32, 32, 32)
        Widths of the potential-outcome network's hidden layers.
    widths : tuple of float, default=(1.0,)
        Widths of the potential-outcome networks that one generator is trained for, as shares of the
        units of `outcome_hidden`, increasing up to 1. With several widths, every training step
        draws one for each network, and each member takes the width that does best on its
        validation rows, without further training; a narrower network consists of the first
        units of each layer. Several widths have reduced the errors of small arms a little, but not
        those of larger ones (``docs/how-it-works.md``).
    depths : tuple of float, default=(1.0,)
        Depths of these networks in the same way, as shares of the hidden layers, which must then
        all have one width: a shallower network consists of the first layers, at least one. With
        several widths and several depths, every combination is tried. Several depths have not
        reduced errors (``docs/settings.md``).
    activation : str, default="blunt_silu"
        Activation function of the potential-outcome networks: blunt_silu, blunt_softplus, silu,
        gelu, elu, tanh or relu.
    treatment_kind : {"auto", "dose"}, default="auto"
        ``"auto"``: treatments are arms, with labels of any kind. ``"dose"``: treatments are
        amounts, numbers with many distinct values, and outcomes are smooth in the dose: quadratic
        splines of the dose, whose coefficients are generated networks; see
        `hypercate.encoding.doses`. `dose_response` gives the curves, ``effect(X, T0=0, T1=1.5)``
        compares doses, ``arms_`` and averages refer to ranges of doses, and `control` is a dose,
        by default the smallest. Emitted networks and the second stage exist only for arms, and are
        not used. A treatment with two columns is an arm and a dose: see `fit`.
    outcome : str, dict or sequence of str, default="auto"
        "auto", "continuous", "binary", "count", "positive", "time" or "survival". With several
        outcomes, none of which may be a time, pass one kind for all of them, a sequence in the
        order of y's columns, or a dict from the columns' names to kinds, with "auto" for those
        left out. ``"auto"`` treats y as binary if it holds two distinct strings, or only 0 and 1
        (or booleans), both present, and otherwise as continuous. For a binary outcome, potential
        outcomes are probabilities and effects are risk differences. ``"count"``: whole numbers of
        at least 0, whose mean is learned by Poisson deviance; ``"positive"``: numbers above 0,
        such as costs or durations, learned by gamma deviance. Both have a log link, so
        multiplicative effects are easy to learn and potential outcomes stay above 0; effects are
        differences of potential outcomes, or ratios. ``"time"`` and ``"survival"``: y is the time
        until an event, or until the row was last seen without it, as ``fit(..., event=)`` states.
        Potential outcomes are mean times up to `horizon` (restricted mean survival times), or
        probabilities of surviving beyond it; see `hypercate.nuisance.censoring`. Censoring must
        depend only on the covariates and the arm.
    horizon : float, default=None
        Time up to which ``outcome="time"`` and ``"survival"`` look, in the unit of y; required
        with these. In every arm, many rows should still be followed at that time.
    control : label, default=None
        The control arm; the first in sorted order by default.
    n_members : int, default=5
        Number of ensemble members, whose mean is the prediction. At least as many models are
        trained as a partition of the rows has parts (see `validation_fraction`), so that every
        row is held out from some model; models beyond `n_members` are used only for averages and
        intervals.
    pretrained : {"auto", "none"}, default="auto"
        With ``"auto"``, the networks that ``effort="instant"`` emits are averaged with the trained
        ones. Within each member, the weights are those that predict its validation rows best;
        where these rows say little, the weights are pulled towards the emitted networks: see
        ``weights_``. Emitted networks are not used with ``generation="none"`` or one fixed degree
        of sharing, which they would not respect; with ``uncertainty="dropout"`` or ``"noise"``,
        which do not affect them; or with more than 5,000 rows, 100 encoded covariates or 8 arms,
        on which they have not been tried. ``"none"`` leaves them out.
    second_stage : {"auto", "none"}, default="auto"
        With ``"auto"``, every member also fits the effects directly, after the outcome's mean and
        the propensities are subtracted (the R-learner): by a constant, and by boosted trees. These
        are averaged with the effects of the member's networks, by the weights that explain its
        validation rows best; where these rows say little, the weights are pulled towards the
        networks: see ``weights_`` and `hypercate.second_stage`. There is no second stage for a
        count or a positive outcome, whose effects multiply rather than add; with ``inputs="raw"``,
        since no trees are grown; with ``generation="none"`` or one fixed degree of sharing; or
        with ``uncertainty="dropout"`` or ``"noise"``, which do not affect it.
    model_propensity : estimator, default=None
        A scikit-learn classifier that predicts the arm, instead of our own calibrated pool of a
        logistic regression and trees. It is cloned, and cross-fitted on the encoded covariates.
    model_outcome : estimator, default=None
        A scikit-learn regressor, or a classifier for a binary outcome, that predicts the mean
        outcomes used by second stages, instead of boosted trees or emitted networks. It is cloned,
        and fitted for each arm on the encoded covariates, cross-fitted within each member.
    uncertainty : {"members", "dropout", "noise", "both"}, default="members"
        The source of variation between draws of effects: the members of the ensemble; dropout or
        noise of the hypernetwork, which need ``hypernet_dropout`` or ``hypernet_noise`` above 0;
        or ``"both"``, the members and whichever of these two is above 0. Neither dropout nor noise
        affects independent arms, so these are not tried with ``"dropout"`` and ``"noise"``.
    calibrate : bool, default=True
        Whether to scale the draws to the standard error of a delete-a-group jackknife over the
        models, with each row's standard error shrunk towards that of a typical row; see
        `hypercate.inference.jackknife`. If False, draws have the spread that `uncertainty` gives
        them, which is usually too small.
    max_epochs : int, default=400
        Largest number of epochs. An epoch is a pass over the data, but at most 32 minibatches.
    batch_size : int or "auto", default="auto"
        Rows in a minibatch; ``"auto"`` grows with the data, from 128 to 2048.
    learning_rate : float, default=0.005
    weight_decay : float, default=0.01
    validation_fraction : float in (0, 1), default=0.2
        Share of the rows that are held out from a model, to judge it. The rows are divided into
        ``round(1 / validation_fraction)`` parts, at least three, and each model of such a partition
        holds out one part; further models use further partitions. A quarter of a model's other rows
        are its validation rows, which decide on early stopping and on the candidate that it takes.
    patience : int, default=15
        Number of epochs without a fall of 1 % in the loss on the validation rows after which
        the training of a network stops.
    device : str, default="auto"
        ``"auto"`` uses a GPU if there is one.
    devices : int, list of int or "auto", default=None
        Devices that train the networks side by side, with one process for each, which Lightning
        Fabric starts: a number of GPUs, a list of their indices, or ``"auto"`` for all of them;
        with ``device="cpu"`` a number of processes. Each process trains its share of the networks,
        and effects are those of a fit by one process, up to rounding. ``None`` trains in this
        process. Needs the package ``lightning-fabric``; see ``docs/distributed.md``.
    strategy : {"auto", "ddp", "ddp_spawn", "ddp_fork"}, default="auto"
        How the processes of `devices` are started, in Fabric's words. ``"auto"``: processes that
        were started together by a launcher such as ``torchrun`` train together; otherwise this
        process starts the others for the training alone, by ``"ddp_spawn"``, which asks that a
        script has ``if __name__ == "__main__":``, or by ``"ddp_fork"`` in an interactive session.
        ``"ddp"`` runs the whole script in every process.
    n_jobs : int, default=None
        Threads of a fit: as many as torch uses by default; -1 for all processors, -2 for all but
        one, as joblib counts them.
    random_state : int, RandomState instance or None, default=None
        Seeds everything; an int makes fits reproducible on the same device.
    verbose : bool, default=False
        Whether to show a progress bar for each stage of the fit, on standard error. The logger
        ``hypercate`` reports the same stages and what was chosen, in more detail at level
        ``DEBUG``.

    Attributes
    ----------
    arms_ : ndarray, shape (n_arms,)
        Labels of the arms, control first; the order of every output.
    classes_ : ndarray, shape (2,), or None
        Labels of a binary outcome; effects are differences in the probability of the second label.
    outcome_ : str
        One of continuous, binary, count, positive, time, survival.
    outcomes_ : list of str
        Names of the outcomes, only if y had several columns; the order of every answer's last axis.
        `of` gives the model of one of them. Attributes that describe one outcome, such as
        ``outcome_``, are then dicts by outcome, and tables have the outcome as first index level.
    n_features_in_ : int
    feature_names_in_ : ndarray of str, shape ``(n_features_in_,)``
        Only if X was a frame with string column names.
    encoded_names_ : list of str
        Names of the encoded covariates.
    fitted_ : Fitted
        Everything that the fit learned: what `save` writes and every method reads.
    sharing_, inputs_ : DataFrame, one row per member
        Smallest factual loss on the member's validation rows at each degree of sharing, and
        with each of the `inputs`, and the ``chosen`` one. With ``effort="instant"`` there is one of
        each, and its loss is the leave-one-out mean squared error of the last layers, in units of
        the outcome's variance (for a binary outcome: by a linear model of its probability; for a
        count: of its square root; for a positive outcome: of its logarithm).
    widths_, depths_ : ndarray, shape (n_members,)
        The width and the depth, among `widths` and `depths`, that each member took for the arms'
        networks.
    weights_ : DataFrame, one row per member
        Weights by which effects are averaged: of the effects by the ``trained`` and the
        ``emitted`` networks, of a ``constant`` effect, and of the effects by ``boosted`` trees.
        They sum to 1.
    calibration_ : Calibration
        ``scale``, by which the draws' deviations are multiplied, ``dof``, the degrees of freedom
        of Student's t, and ``start_share``, the share of the models' variance that comes only from
        their random start.
    history_ : DataFrame
        ``member, epoch, train_loss, validation_loss`` of the chosen candidates during the search,
        on the standardised outcome (cross-entropy for a binary outcome; deviance, in units of the
        mean, for counts and positive outcomes). ``validation_loss`` is the loss on the
        validation rows.
    n_parameters_ : dict
        ``trained``: number of parameters of one member's generator, or of its arms' own networks
        if the arms of no member share anything; ``generated``: number of weights of all arms'
        networks. Emitted networks that are averaged with these are not counted.

    References
    ----------
    Chauhan, Zhou, Ghosheh, Molaei & Clifton (2024), "Dynamic inter-treatment information sharing
    for individualized treatment effects estimation", AISTATS.

    Examples
    --------
    >>> est = HyperCATE(effort="fast", random_state=0).fit(X, y, treatment)
    >>> est.effect(X, T0="control", T1="drug").shape
    (300,)
    >>> est.arms_.tolist(), est.outcome_
    (['control', 'drug'], 'continuous')
    """

    __metadata_request__fit: ClassVar = {
        "treatment": True,
        "sample_weight": True,
        "groups": True,
        "propensity": True,
        "arm_features": True,
        "event": True,
        "checkpoint": True,
    }
    __metadata_request__partial_fit: ClassVar = {
        "treatment": True,
        "sample_weight": True,
        "groups": True,
    }
    __metadata_request__score: ClassVar = {"treatment": True, "sample_weight": True}

    _parameter_constraints: ClassVar[dict] = {
        "learner": [StrOptions(set(LEARNERS))],
        "hypernet": [StrOptions(set(ARCHITECTURES))],
        "context": [StrOptions({"data"}), None],
        "effort": [StrOptions({"instant", *EFFORTS})],
        "generation": [StrOptions(set(GENERATIONS))],
        "n_chunks": [Interval(Integral, 1, None, closed="left")],
        "rank": [Interval(Integral, 1, None, closed="left")],
        "n_heads": [Interval(Integral, 1, None, closed="left")],
        "embedding_dim": [Interval(Integral, 1, None, closed="left")],
        "hypernet_hidden": [tuple, list],
        "hypernet_dropout": [Interval(Real, 0, 1, closed="left")],
        "hypernet_noise": [Interval(Real, 0, None, closed="left")],
        "noise_kind": [StrOptions(set(NOISE_KINDS))],
        "spectral_norm": ["boolean"],
        "sharing": [StrOptions({"auto", *PROFILES})],
        "inputs": [StrOptions({"auto", *INPUTS})],
        "outcome_hidden": [tuple, list],
        "widths": [tuple, list],
        "depths": [tuple, list],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "treatment_kind": [StrOptions({"auto", "dose"})],
        "outcome": [StrOptions(set(OUTCOMES)), Mapping, list, tuple],
        "horizon": [Interval(Real, 0, None, closed="neither"), None],
        "control": "no_validation",
        "n_members": [Interval(Integral, 1, None, closed="left")],
        "pretrained": [StrOptions({"auto", "none"})],
        "second_stage": [StrOptions({"auto", "none"})],
        "model_propensity": [HasMethods(["fit", "predict_proba"]), None],
        "model_outcome": [HasMethods(["fit", "predict"]), None],
        "uncertainty": [StrOptions(set(SOURCES))],
        "calibrate": ["boolean"],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "patience": [Interval(Integral, 1, None, closed="left")],
        "device": [str, torch.device],
        "devices": [Interval(Integral, 1, None, closed="left"), list, StrOptions({"auto"}), None],
        "strategy": [StrOptions(set(STRATEGIES))],
        "n_jobs": [
            Interval(Integral, None, -1, closed="right"),
            Interval(Integral, 1, None, closed="left"),
            None,
        ],
        "random_state": ["random_state"],
        "verbose": ["boolean"],
    }

    def __init__(
        self,
        *,
        learner="t",
        hypernet="mlp",
        context=None,
        effort="balanced",
        generation="chunk",
        n_chunks=8,
        rank=4,
        n_heads=1,
        embedding_dim=8,
        hypernet_hidden=(16,),
        hypernet_dropout=0.0,
        hypernet_noise=0.0,
        noise_kind="input",
        spectral_norm=False,
        sharing="auto",
        inputs="auto",
        outcome_hidden=(32, 32, 32, 32, 32),
        widths=(1.0,),
        depths=(1.0,),
        activation="blunt_silu",
        treatment_kind="auto",
        outcome="auto",
        horizon=None,
        control=None,
        n_members=5,
        pretrained="auto",
        second_stage="auto",
        model_propensity=None,
        model_outcome=None,
        uncertainty="members",
        calibrate=True,
        max_epochs=400,
        batch_size="auto",
        learning_rate=5e-3,
        weight_decay=0.01,
        validation_fraction=0.2,
        patience=15,
        device="auto",
        devices=None,
        strategy="auto",
        n_jobs=None,
        random_state=None,
        verbose=False,
    ):
        self.learner = learner
        self.hypernet = hypernet
        self.context = context
        self.effort = effort
        self.generation = generation
        self.n_chunks = n_chunks
        self.rank = rank
        self.n_heads = n_heads
        self.embedding_dim = embedding_dim
        self.hypernet_hidden = hypernet_hidden
        self.hypernet_dropout = hypernet_dropout
        self.hypernet_noise = hypernet_noise
        self.noise_kind = noise_kind
        self.spectral_norm = spectral_norm
        self.sharing = sharing
        self.inputs = inputs
        self.outcome_hidden = outcome_hidden
        self.widths = widths
        self.depths = depths
        self.activation = activation
        self.treatment_kind = treatment_kind
        self.outcome = outcome
        self.horizon = horizon
        self.control = control
        self.n_members = n_members
        self.pretrained = pretrained
        self.second_stage = second_stage
        self.model_propensity = model_propensity
        self.model_outcome = model_outcome
        self.uncertainty = uncertainty
        self.calibrate = calibrate
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.device = device
        self.devices = devices
        self.strategy = strategy
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.estimator_type = "regressor"  # predict returns numbers: effects, and not y
        tags.regressor_tags = RegressorTags(poor_score=True)
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        return tags

    def fit(
        self,
        X: Any,
        y: Any,
        treatment: Any = None,
        *,
        sample_weight: Any = None,
        groups: Any = None,
        propensity: Any = None,
        arm_features: Any = None,
        event: Any = None,
        checkpoint: str | PathLike | Checkpoint | None = None,
    ) -> Self:
        """Fit the potential outcomes of every arm.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
            Numeric, boolean, categorical and string columns, with missing values. A frame may be
            of pandas, polars or pyarrow, or any other eager frame that narwhals reads.
        y : array-like, shape (n,) or (n, n_outcomes)
            Observed outcome. Several outcomes, as the columns of a frame or an array, are learned
            together: an arm's network shares its hidden layers among the outcomes and has one last
            layer per outcome, and answers gain a last axis for the outcome. The choice of `sharing`
            and `inputs` is joint; everything else is done for each outcome separately. See
            ``outcomes_`` and `of`.
            Like the other arguments with one value per row, outcomes are matched to the rows of X
            by position: a pandas Series or frame is refused if its index holds the labels of X in
            another order. Gross outliers, which would dominate every mean, are set to the most
            distant of the other values, with a warning that names the rows: at most 1 % of the
            rows, if they are more than ten times as far from the median as all others.
        treatment : array-like, shape (n,)
            Arm that each row received, as labels of any kind. Required. With
            ``treatment_kind="dose"`` it is the dose, or a frame of two columns: the dose, a column
            of numbers, and the arm that was given at this dose, a column of strings, categories or
            booleans. Each arm then has its own dose-response curves, over its own doses and in its
            own units; an arm with a single dose, such as a control at dose 0, has no curve. `T0`
            and `T1` of all methods about effects are then pairs ``(arm, dose)``, or frames of the
            two columns with one row for each row of X, ``dose_response`` needs ``arm=``, and
            ``arms_`` are the ranges of doses of each arm. `control` is such a pair, or an arm at
            its smallest dose, by default the first arm in sorted order; `predict` compares the
            median dose of every other arm with it.
        sample_weight : array-like, shape (n,), optional
            Averages are weighted by them; effects depend only on the weights' ratios within an arm.
        groups : array-like, shape (n,), optional
            Cluster of each row, as labels of any kind, if rows of one person, school or clinic are
            not independent. A cluster is fitted or held out as a whole, and standard errors are
            computed over clusters rather than rows.
        propensity : array-like, shape (n,) or (n, n_arms), optional
            Probabilities of the arms if they are known, as in an experiment: that of the treated
            arm if there are two arms, or those of all arms, as a frame with one column per label
            or an array in the order of ``arms_``. They replace the estimated propensities at the
            training rows, and also at new rows if they are the same in all training rows.
        arm_features : DataFrame, optional
            Descriptions of the arms, such as a dose or the parts of a combined treatment: one row
            per arm, with its label in the index or in a column ``"arm"``, and columns of numbers or
            categories. An arm's network is then generated from its description, and departs from
            it as far as the arm's own rows show. Arms that are described but that no row received
            have effects too, in ``predict``, ``effect`` and their intervals: they come last in
            ``arms_``. If there are such arms, networks read only the covariates, and only the arms
            with rows have emitted networks and a second stage.
        event : array-like, shape (n,), optional
            Required with ``outcome="time"`` and ``"survival"``, and only used there: 1 or True if
            the event was seen at the time in y, 0 or False if the row was censored at that time.
        checkpoint : path-like, optional
            Folder in which the state of the training is saved every half minute, and at the end of
            each stage. If the process ends before the fit does, a call with the same arguments,
            parameters and folder continues from there and gives exactly the same model, for which
            `random_state` must be an integer. A folder that belongs to another fit is refused. The
            saved state is removed when the fit ends. See ``docs/saving.md``.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If a parameter or the data cannot be used; the message names the column, arm or row.
        FloatingPointError
            If training diverges.
        OSError
            If no checkpoint can be written, as on a full disk. What was saved before stays.

        Examples
        --------
        >>> est = HyperCATE(effort="instant", random_state=0)
        >>> est.fit(X, y, treatment, groups=np.arange(300) // 2).arms_.tolist()
        ['control', 'drug']
        """
        self._check_parameters()
        kept = Checkpoint.of(checkpoint)
        self._check_repeatable(kept)
        require_treatment(treatment, "fit")
        self._check_of_doses(propensity=propensity, arm_features=arm_features)
        self._check_of_times(event)
        processes = Processes.of(self.devices, self.strategy, resolve_device(self.device))
        self._check_alike(processes)
        device = processes.device
        seed = draw_seed(self.random_state)
        outcomes = read_studies(
            X,
            y,
            treatment,
            sample_weight,
            groups,
            propensity,
            arm_features,
            self.control,
            self.outcome,
            self.treatment_kind == "dose",
            event,
            None if self.horizon is None else float(self.horizon),
        )
        each = outcomes.each
        encoded = each[0]  # for what is of the covariates and the treatment alone
        study = encoded.study
        self._check_described(encoded)
        folds = self._folds(encoded, seed)
        candidates = Candidates.of(
            self.generation,
            self.sharing,
            self.inputs,
            self.uncertainty,
            study.n_conditions,
            LEARNERS[self.learner].degree,
            self._degrees,
            encoded.conditions.all_received,
        )
        trees = candidates.need_trees and self.effort != "instant"
        with bars(self.verbose and processes.is_first), own_threads(self.n_jobs) as n_threads:
            LOG.info(
                "fit: %d rows, %d inputs, %d arms, outcome %s; %d models, effort %r, on %s",
                *study.x.shape,
                study.n_conditions,
                ", ".join(one.family.kind for one in each),
                folds.n_models,
                self.effort,
                device,
            )
            of = partial(identity_of, self.get_params(deep=False), each, device, n_threads)
            kept.begin(of, processes.name)
            if isinstance(encoded.family, Censored):
                pseudo = with_pseudo_outcomes(study, folds, encoded.family, seed, n_threads)
                each = (replace(encoded, study=pseudo),)
            assignment, cross_fitted = fit_assignment(
                study, folds, self.model_propensity, encoded.propensity, n_threads
            )
            alike, of_alike = with_arms_alike(study, cross_fitted)
            to_train = tuple(
                replace(one, study=replace(one.study, weight=alike.weight)) for one in each
            )
            views = [model_views(one.study, folds, trees, seed, n_threads) for one in to_train]
            joint = joint_views(views)
            ensembles = self._ensembles(
                to_train, folds, candidates, of_alike, joint, views, processes, seed, kept
            )
            fitted = []
            with stage("calibration", len(each), "outcome") as bar:
                for one, ensemble in zip(each, ensembles, strict=True):
                    fitted.append(
                        assemble(
                            one,
                            folds,
                            ensemble,
                            assignment,
                            cross_fitted,
                            joint,
                            n_members=self._n_members,
                            calibrated=self.calibrate,
                            device=device,
                            seed=seed,
                        )
                    )
                    bar.update()
        conditions = encoded.conditions
        warn_of_poor_support(
            cross_fitted[:, conditions.place_received],
            conditions.position_of(study.condition),
            study.weight,
            conditions.received,
            encoded.features,
            study.x,
            of_doses=encoded.doses is not None,
        )
        names = outcomes.names
        self.fitted_ = fitted[0] if names is None else FittedOutcomes(names, tuple(fitted))
        if kept is not checkpoint:
            kept.clear()
        return self

    def add_arm(self, X: Any, y: Any, treatment: Any = None, *, sample_weight: Any = None) -> Self:
        """Learn arms that were not there at fit from a few dozen of their rows, without refitting.

        A new arm is assumed to relate to the arms of the fit as these relate to one another: its
        outcome is a mixture of their outcomes, which is pulled towards their mean where its rows
        say little, plus a level, plus a linear departure of its own, as large as its rows show. See
        `hypercate.added.arms`. Predictions for all other arms stay exactly as they were. The new
        arms come last in ``arms_``, and have outcomes, effects, intervals and draws of effects.
        Their intervals include both the uncertainty about the arms of the fit and the uncertainty
        that so few rows leave. Averages, scores and intervals of persons rest on the rows of the
        fit, and refuse the new arms; with some hundred rows, fit again with all rows.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
            Rows that received the new arms, with the same columns as in `fit`.
        y : array-like, shape (n,)
            Observed outcome, of the same kind as in `fit`.
        treatment : array-like, shape (n,)
            New arm that each row received. Required. At least two rows per arm are needed.
        sample_weight : array-like, shape (n,), optional

        Returns
        -------
        self

        Raises
        ------
        NotFittedError
            Before a fit.
        TypeError, ValueError
            If the data cannot be used, if treatment holds an arm that the model has already, or if
            treatments are doses; the estimator stays as it was.

        Examples
        --------
        >>> X_new, y_new = X.head(30), y.head(30) + 1
        >>> est.add_arm(X_new, y_new, ["new drug"] * len(X_new)).arms_.tolist()
        ['control', 'drug', 'new drug']
        >>> est.effect_inference(X, T1="new drug").summary_frame().shape
        (300, 6)
        """
        check_is_fitted(self, "fitted_")
        require_treatment(treatment, "add_arm")
        self._require_arms("add_arm", "fit, with all rows")
        device = resolve_device(self.device)
        self.fitted_ = add_arms(self.fitted_, X, y, treatment, sample_weight, device)
        return self

    def partial_fit(
        self,
        X: Any,
        y: Any,
        treatment: Any = None,
        *,
        sample_weight: Any = None,
        groups: Any = None,
    ) -> Self:
        """Learn from further rows of arms that the model knows, without the rows of the fit.

        Before a fit this is the same as `fit`. Afterwards, every model of the ensemble gets a
        smooth correction of the outcomes that it predicts, in closed form, from the new rows that
        are not held out from it: one correction for all arms with new rows together, and one for
        each of these arms. The size of a correction depends on how wrong the new rows show the
        model to be, and on how many rows of the arm it has learned from before; see
        `hypercate.updated`. Predictions for arms without new rows stay exactly as they were. The
        networks, the second stage, the encoding of the covariates and the propensity model do not
        change either. If the model was saved with its evidence or never saved, the new rows are
        added to it, and averages cover old and new rows; old rows keep the predictions that they
        had. If all rows are available, fit again with all of them: that is more accurate.

        Parameters
        ----------
        X : DataFrame or array-like, shape (n, n_features)
            As in `fit`, with the same columns.
        y : array-like, shape (n,)
            Observed outcome, of the same kind as in `fit`.
        treatment : array-like, shape (n,)
            Arm that each row received, among the arms that had rows in `fit`; not all of these need
            to occur. Required. At least two rows per arm are needed.
        sample_weight : array-like, shape (n,), optional
            Weights on the same scale as in `fit`, where rows without weights count 1 each.
        groups : array-like, shape (n,), optional
            Cluster of each new row. These are taken as different clusters from those of earlier
            rows, even if labels are equal.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            If the data cannot be used, if treatment holds an arm that had no rows in `fit`, if
            treatments are doses, if outcomes are times until an event, or if there are several
            outcomes; the estimator stays as it was.

        Examples
        --------
        >>> est = HyperCATE(effort="instant", random_state=0).fit(X[:250], y[:250], treatment[:250])
        >>> est.partial_fit(X[250:], y[250:], treatment[250:]).ate_inference().n_rows
        300
        """
        if not hasattr(self, "fitted_"):
            return self.fit(X, y, treatment, sample_weight=sample_weight, groups=groups)
        require_treatment(treatment, "partial_fit")
        self._require_arms("partial_fit", "fit, with all rows")
        self._require_uncensored("partial_fit", "fit, with all rows")
        device = resolve_device(self.device)
        with own_threads(self.n_jobs):
            self.fitted_ = update(
                self.fitted_, X, y, treatment, sample_weight, groups, self._n_parts, device
            )
        return self

    def save(self, path: str | PathLike, evidence: bool = True) -> None:
        """Write the fitted model to one file, which `load` reads without running any code.

        Parameters
        ----------
        path : path-like
            File name, by convention with the ending ``.hypercate``. An existing file is replaced.
        evidence : bool, default=True
            Whether to keep what is known about each training row: its arm, outcome, weight,
            cluster, propensity and cross-fitted predictions. Averages, intervals of persons and
            the test of heterogeneity need them. If False, the file holds none of these, and such
            methods raise an error.

        Raises
        ------
        NotFittedError
            Before a fit.
        TypeError
            If a parameter (such as `model_propensity`) or a column label is neither a number nor a
            string.
        OSError
            If the file cannot be written.

        Examples
        --------
        >>> est.save("model.hypercate")
        >>> est.save("without-rows.hypercate", evidence=False)
        >>> HyperCATE.load("without-rows.hypercate").predict(X).shape
        (300,)
        """
        check_is_fitted(self, "fitted_")
        parameters = self.get_params(deep=False)
        for name in _MODELS:
            if parameters[name] is not None:
                raise TypeError(
                    f"{name}={parameters[name]!r} cannot be saved in this file format, which "
                    "stores no code: pickle the estimator instead"
                )
        if not isinstance(self.random_state, Integral):
            parameters["random_state"] = None  # the state of a generator cannot be saved
        parameters["device"] = str(self.device)
        fitted = self.fitted_ if evidence else self.fitted_.without_evidence()
        persistence.save(path, parameters, fitted)

    @classmethod
    def load(cls, path: str | PathLike, device: str | torch.device = "auto") -> Self:
        """Read a model that `save` wrote, on this machine or another.

        Parameters
        ----------
        path : path-like
        device : str, default="auto"
            Device on which the model predicts, whichever device it was fitted on.

        Returns
        -------
        HyperCATE
            The saved model. On the same machine, its answers are exactly those of the model that
            was saved.

        Raises
        ------
        ValueError
            If the file is damaged, is not a saved model, or has a newer format.
        OSError
            If the file cannot be read.

        Examples
        --------
        >>> est.save("model.hypercate")
        >>> est = HyperCATE.load("model.hypercate")
        >>> est.arms_.tolist()
        ['control', 'drug']
        """
        parameters, fitted = persistence.load(path)
        unknown = sorted(parameters.keys() - set(cls._get_param_names()))
        if unknown:
            raise ValueError(
                f"{path} holds parameters that {cls.__name__} does not have: {', '.join(unknown)}"
            )
        estimator = cls(**parameters | {"device": device})
        estimator.fitted_ = fitted
        return estimator

    @property
    def _effort(self) -> Effort:
        return EFFORTS.get(self.effort, EFFORTS["balanced"])

    @property
    def _n_members(self) -> int:
        return round(self._effort.n_members * self.n_members)

    @property
    def _n_parts(self) -> int:
        return max(3, round(1 / self.validation_fraction))

    @property
    def _degrees(self) -> tuple[str, ...]:
        """Of sharing that are tried; networks of near doses are never independent."""
        if self.treatment_kind == "dose":
            return tuple(name for name in self._effort.degrees if name != "independent")
        return self._effort.degrees

    @property
    def _weighs(self) -> bool:
        """Whether effects by others can be weighed with those of trained networks."""
        return (
            self.sharing == "auto"
            and self.treatment_kind != "dose"
            and LEARNERS[self.learner].degree is None
            and self.generation != "none"
            and self.uncertainty not in PERTURBATIONS
        )

    @property
    def _has_second_stage(self) -> bool:
        return self._weighs and self.second_stage == "auto" and self.inputs != "raw"

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
                    f"uncertainty={self.uncertainty!r} makes draws by {' or '.join(kinds)} of the "
                    f"hypernetwork: set {' or '.join(rates)} above 0, with a generation other "
                    "than 'none' and a sharing other than 'independent'"
                )
        two_stages = issubclass(LEARNERS[self.learner], EffectLearner)
        for name in _MODELS:
            if isinstance(getattr(self, name), type):
                raise TypeError(
                    f"{name}={getattr(self, name)!r} is a class: pass an instance of it"
                )
        check_kinds(self.outcome)
        adds = self._has_second_stage and self.outcome not in LOG_LINKED
        if self.model_outcome is not None and not (adds or two_stages):
            raise ValueError(
                "model_outcome would have no effect, because there is no second stage with these "
                "parameters: leave it out, or use learner='x', 'ra', 'dr' or 'r'"
            )
        if self.sharing != "auto" and LEARNERS[self.learner].degree is not None:
            raise ValueError(
                f"learner={self.learner!r} fixes how far arms share, so "
                f"sharing={self.sharing!r} would have no effect: leave it out, or use learner='t'"
            )
        if self.effort == "instant":
            defaults = signature(type(self)).parameters
            changed = [
                name
                for name in _OF_TRAINING
                if name in defaults and _plain(getattr(self, name)) != defaults[name].default
            ]
            if changed:
                raise ValueError(
                    f"effort='instant' trains nothing, so {listed(changed)} would have no "
                    "effect: leave out what was passed, or use effort='balanced'"
                )
        for name in ("widths", "depths"):
            given = getattr(self, name)
            shares = [float(w) for w in given if isinstance(w, Real) and not isinstance(w, bool)]
            rising = all(0 < low < high for low, high in pairwise([*shares, 2.0]))
            if len(shares) < len(given) or shares[-1:] != [1] or not rising:
                raise ValueError(
                    f"{name}={given!r} must hold increasing shares above 0, the last of them 1"
                )
        if len(self.depths) > 1 and len(set(self.outcome_hidden)) > 1:
            raise ValueError(
                f"depths={self.depths!r} leaves out hidden layers, which must then all have the "
                f"same width: make the widths in outcome_hidden={self.outcome_hidden!r} equal, or "
                "leave out depths"
            )
        if self.noise_kind != "input" and not self.hypernet_noise:
            raise ValueError(
                f"noise_kind={self.noise_kind!r} would have no effect with hypernet_noise=0: set "
                "hypernet_noise above 0, or leave noise_kind out"
            )
        if self.context and (self.generation == "none" or self.sharing == "independent"):
            raise ValueError(
                f"context={self.context!r} is an input of the generator, and there is no generator "
                "with generation='none' or sharing='independent': leave out one of the two"
            )
        pieces = self.n_chunks if self.generation == "chunk" else 1
        if self.hypernet != "mlp" and pieces == 1 and self.generation not in LAYERWISE:
            raise ValueError(
                f"hypernet={self.hypernet!r} processes a sequence of pieces of the weights, but "
                "there is at most one piece with these parameters: use generation='chunk' with "
                "several n_chunks, or generation='component' or 'low_rank'"
            )
        if self.hypernet_hidden[-1] % self.n_heads:
            raise ValueError(
                f"n_heads={self.n_heads} must divide the last width of hypernet_hidden, "
                f"{self.hypernet_hidden[-1]}"
            )

    def _check_repeatable(self, checkpoint: Checkpoint) -> None:
        """Refuse to keep a fit that draws anew when it is called again."""
        if checkpoint.folder is not None and not isinstance(self.random_state, Integral):
            raise ValueError(
                f"checkpoint needs an integer random_state, not {self.random_state!r}, because a "
                "fit that continues must make the same random draws as before: set random_state=0, "
                "or another integer"
            )

    def _check_alike(self, processes: Processes) -> None:
        """Refuse processes that would each draw other folds."""
        if processes.together and not isinstance(self.random_state, Integral):
            raise ValueError(
                "processes that train together need the same integer random_state, not "
                f"{self.random_state!r}: set random_state=0, or another"
            )

    def _check_of_times(self, event: Any) -> None:
        """Refuse what is of times without them, and times without what they need."""
        of_times = isinstance(self.outcome, str) and self.outcome in CENSORED
        for name, value, how in (
            ("event", event, "fit(X, y, treatment, event=), whether each row's event was seen"),
            ("horizon", self.horizon, "a time at which many rows of every arm are still followed"),
        ):
            if of_times and value is None:
                raise ValueError(f"{name} is needed with outcome={self.outcome!r}: pass {how}")
            if value is not None and not of_times:
                raise ValueError(
                    f"{name} is only for times until an event, and would have no effect with "
                    f"outcome={self.outcome!r}: use outcome='time' or 'survival', or leave it out"
                )

    def _check_of_doses(self, **arguments: Any) -> None:
        """Refuse what is of arms where treatments are doses."""
        if self.treatment_kind != "dose":
            return
        for name, value in arguments.items():
            if value is not None:
                raise ValueError(
                    f"{name} describes arms, and with treatment_kind='dose' there are none: leave "
                    "out one of the two"
                )
        if issubclass(LEARNERS[self.learner], EffectLearner) or self.effort == "instant":
            name = "effort" if self.effort == "instant" else "learner"
            raise ValueError(
                f"{name}={getattr(self, name)!r} works only with arms: with treatment_kind='dose' "
                "leave it out"
            )

    def _check_described(self, encoded: Encoded) -> None:
        """Refuse parameters with which descriptions of arms would have no effect."""
        if encoded.arm_codes is None or encoded.doses is not None:
            return
        without = {"generation": "none", "sharing": "independent", "effort": "instant"}
        for name, value in without.items():
            if getattr(self, name) == value:
                raise ValueError(
                    f"arm_features would have no effect with {name}={value!r}, which does not "
                    "generate arms from what they have in common: leave out one of the two"
                )
        conditions = encoded.conditions
        if issubclass(LEARNERS[self.learner], EffectLearner) and not conditions.all_received:
            described = conditions.labels[conditions.n_received :].tolist()
            raise ValueError(
                f"learner={self.learner!r} fits effects to rows of their arms, but no row received "
                f"{listed(map(repr, described))}: use learner='t', or leave them out of "
                "arm_features"
            )

    def _folds(self, encoded: Encoded, seed: int) -> Folds:
        study, conditions = encoded.study, encoded.conditions
        n_parts = self._n_parts
        try:
            return Folds.of(study.condition, n_parts, self._n_members, seed, study.cluster)
        except ValueError as error:
            label = conditions.labels[conditions.position_of(error.args[0])].item()
            raise ValueError(
                f"arm {label!r} occurs in too few groups to be both trained on and held out: no "
                f"split of the groups into {n_parts} parts was found that has every arm in at "
                "least two. Pass finer groups or a smaller validation_fraction, drop the arm or "
                "merge it with another"
            ) from None

    def _ensembles(
        self,
        outcomes: Sequence[Encoded],
        folds: Folds,
        candidates: Candidates,
        propensity: np.ndarray,
        views: Views,
        own_views: Sequence[Views],
        processes: Processes,
        seed: int,
        checkpoint: Checkpoint,
    ) -> list[Ensemble]:
        """The models of each outcome; a subclass may train others in their place."""
        encoded = outcomes[0]
        study, studies = encoded.study, [one.study for one in outcomes]
        learners = [LEARNERS[self.learner](one.family) for one in outcomes]
        if self.effort == "instant":
            return [
                emit_ensemble(own, folds, learner, views, processes.device, seed)
                for own, learner in zip(studies, learners, strict=True)
            ]
        n, n_inputs = study.x.shape
        codes, doses = encoded.arm_codes, encoded.doses
        hypernet = HyperNet(
            net=OutcomeNet(
                n_inputs + views.n_last,
                tuple(int(width) for width in self.outcome_hidden),
                self.activation,
                len(outcomes),
                len(self.depths) > 1,
            ),
            n_arms=encoded.n_networks,
            generation=self.generation,
            n_chunks=int(self.n_chunks),
            n_heads=int(self.n_heads),
            embedding_dim=int(self.embedding_dim),
            hidden=tuple(int(width) for width in self.hypernet_hidden),
            dropout=float(self.hypernet_dropout),
            spectral_norm=bool(self.spectral_norm),
            noise=float(self.hypernet_noise),
            noise_kind=self.noise_kind,
            rank=int(self.rank),
            widths=tuple(map(float, self.widths)),
            depths=tuple(map(float, self.depths)),
            arm_codes=() if codes is None else tuple(map(tuple, codes.tolist())),
            own_departure=OWN_DEPARTURE if doses is None else 0.0,
            architecture=self.hypernet,
            n_context=n_moments(n_inputs + views.n_last, len(outcomes)) if self.context else 0,
        )
        schedule = self._schedule(n)
        data, trained = train_arms(
            studies,
            folds,
            hypernet,
            learners,
            candidates,
            schedule,
            views,
            seed,
            processes,
            checkpoint,
            encoded.blend,
        )
        pretrained = self._weighs and self.pretrained == "auto" and not untried(study, views)
        return [
            fit_ensemble(
                own,
                folds,
                data,
                networks,
                learner,
                candidates,
                schedule,
                propensity,
                views,
                of_outcome,
                self.model_outcome,
                self.uncertainty,
                pretrained,
                self._has_second_stage and learner.family.kind not in LOG_LINKED,
                processes,
                seed,
                torch.get_num_threads(),
                checkpoint,
            )
            for own, networks, learner, of_outcome in zip(
                studies, trained, learners, own_views, strict=True
            )
        ]

    def _schedule(self, n: int) -> Schedule:
        batch_size = self.batch_size
        if batch_size == "auto":
            batch_size = int(np.clip(n // 32, 128, 2048))
        effort = self._effort
        return Schedule(
            max_epochs=int(self.max_epochs),
            batch_size=max(1, int(effort.batch_size * batch_size)),
            learning_rate=float(self.learning_rate),
            weight_decay=float(self.weight_decay),
            patience=max(1, int(effort.patience * self.patience)),
            again=effort.again,
        )


def _plain(value: Any) -> Any:
    """A parameter as its default is given: widths as a tuple."""
    return tuple(value) if isinstance(value, list) else value
