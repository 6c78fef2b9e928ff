"""Generators that are told of the arms' rows: what they are told, and that models with it work."""

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from small import able, copies_of, tiny, trial
from test_generator import hypernet

from hypercate import HyperCATE
from hypercate.folds import Folds
from hypercate.generator.profiles import profiles
from hypercate.inspection import along_step, arm_similarity, layer_departures
from hypercate.train.context import context_of, n_moments
from hypercate.train.data import Data

N, ARMS, INPUTS = 90, 3, 2


def study(seed=0):
    """Covariates, target in two models' units, weights and arms of very different size."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N, INPUTS)).astype(np.float32)
    arm = rng.permutation(np.repeat(np.arange(ARMS), (50, 30, 10)))
    y = x[:, 0] * arm + rng.normal(size=N)
    target = np.stack([y, y / 2 + 1]).astype(np.float32)
    return x, target, rng.random(N) + 0.5, arm


def told(x, target, weight, arm, folds, scale=None, n_arms=ARMS):
    """Summaries of the rows that fit the first two models, a network each."""
    data = Data.of(x, np.empty((2, N, 0), np.float32), target, weight, torch.device("cpu"))
    shape = hypernet(n_arms=n_arms, n_context=n_moments(INPUTS))
    scale = torch.ones(2, INPUTS) if scale is None else scale
    rows = folds.fit
    first = dataclasses.replace(rows, index=rows.index[:2], real=rows.real[:2])
    return context_of(shape, data, first, scale).numpy()


def slow_summary(x, y, weight, arm, seen, scale):
    """The same of one model by numpy's weighted moments, arm by arm."""
    moments = []
    for k in range(ARMS):
        own = seen & (arm == k)
        w = weight[own] / weight[own].sum()
        mean_x, mean_y = w @ x[own], w @ y[own]
        covariance = [np.cov(column, y[own], aweights=w, ddof=0)[0, 1] for column in x[own].T]
        error = np.sqrt(np.square(w).sum())
        moments.append([*scale * mean_x, *scale * covariance, mean_y, error])
    centred = np.array(moments) - np.mean(moments, axis=0)
    return centred / np.sqrt(np.square(centred).mean(axis=1, keepdims=True))


class TestWhatIsTold:
    def test_are_weighted_moments_of_the_rows_that_a_model_sees(self):
        x, target, weight, arm = study()
        folds = Folds.of(arm, 3, 3, 0)
        scale = torch.tensor([[1.0, 0.2], [0.0, 3.0]])
        found = told(x, target, weight, arm, folds, scale)
        for m in range(2):
            expected = slow_summary(x, target[m], weight, arm, folds.fits[m], scale[m].numpy())
            np.testing.assert_allclose(found[m], expected, rtol=1e-3, atol=1e-4)

    def test_have_constant_norm_and_no_place_for_what_a_network_does_not_see(self):
        x, target, weight, arm = study()
        scale = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
        found = told(x, target, weight, arm, Folds.of(arm, 3, 3, 0), scale)
        np.testing.assert_allclose(np.square(found).mean(axis=2), 1, rtol=1e-5)
        assert not found[0][:, [1, 3]].any()
        assert found[1][:, [1, 3]].all()

    def test_do_not_depend_on_the_order_of_rows(self):
        x, target, weight, arm = study()
        folds, order = Folds.of(arm, 3, 3, 0), np.random.default_rng(1).permutation(N)
        shuffled = folds.repeated(order, arm[order])
        np.testing.assert_allclose(
            told(x[order], target[:, order], weight[order], arm[order], shuffled),
            told(x, target, weight, arm, folds),
            atol=1e-4,
        )

    def test_nothing_of_arms_without_rows_or_without_others(self):
        x, target, weight, arm = study()
        folds = Folds.of(arm, 3, 3, 0)
        more = told(x, target, weight, arm, folds, n_arms=ARMS + 1)
        assert not more[:, -1].any()
        of_others = told(x, target, weight, arm, folds)
        np.testing.assert_allclose(more[:, :-1], of_others, rtol=1e-4, atol=1e-5)
        alone = Folds.of(np.zeros(N, int), 3, 3, 0)
        assert not told(x, target, weight, np.zeros(N, int), alone, n_arms=1).any()

    def test_doses_count_as_of_the_networks_that_blend_at_them(self):
        x, target, weight, arm = study()
        folds = Folds.of(arm, 3, 3, 0)
        empty = np.empty((2, N, 0), np.float32)
        rows = dataclasses.replace(folds.fit, index=folds.fit.index[:2], real=folds.fit.real[:2])
        shape = hypernet(n_arms=ARMS + 1, n_context=n_moments(INPUTS))
        last = np.tile(np.float32([0, 1]), (N, 1))  # condition k is all of network k + 1
        which = np.arange(ARMS)[:, None] + [0, 1]
        data = Data.of(x, empty, target, weight, torch.device("cpu"), (last, which))
        found = context_of(shape, data, rows, torch.ones(2, INPUTS)).numpy()
        assert not found[:, 0].any()
        np.testing.assert_allclose(
            found[:, 1:], told(x, target, weight, arm, folds), rtol=1e-4, atol=1e-5
        )

    def test_the_default_is_told_nothing(self):
        x, target, weight, arm = study()
        data = Data.of(x, np.empty((2, N, 0), np.float32), target, weight, torch.device("cpu"))
        folds = Folds.of(arm, 3, 3, 0)
        assert context_of(hypernet(n_arms=ARMS), data, folds.fit, torch.ones(2, INPUTS)) is None


class TestTheGenerator:
    @pytest.mark.parametrize("spectral_norm", [False, True])
    def test_arms_that_are_told_the_same_are_generated_alike(self, spectral_norm):
        shape = hypernet(n_arms=3, n_context=4, spectral_norm=spectral_norm)
        generator = torch.Generator().manual_seed(0)
        context = torch.randn(2, 3, 4, generator=generator)
        context[:, 2] = context[:, 0]
        params, buffers = shape.init(
            profiles(["weak"] * 2, shape.net), torch.ones(2, 2), generator, context
        )
        assert ("u_context_matrix" in buffers) == spectral_norm
        params["arms"][:] = params["arms"][:, :1]  # what is left is what they are told
        theta = shape.generate(params, buffers)
        torch.testing.assert_close(theta[:, 2], theta[:, 0], rtol=0, atol=0)
        assert (theta[:, 1] - theta[:, 0]).abs().amax() > 0.01
        params = {name: tensor.requires_grad_() for name, tensor in params.items()}
        shape.generate(params, buffers)[..., 1].sum().backward()
        assert params["context_matrix"].grad.abs().amax() > 0


class TestModels:
    def test_learn_an_effect(self):
        X, y, arm, effects = trial(n=400, n_arms=3)
        est = able(context="data", pretrained="none", second_stage="none")
        error = est.fit(X, y, arm).predict(X) - effects
        assert (np.sqrt(np.mean(error**2, axis=0)) < 0.4 * effects.std(axis=0)).all()

    def test_are_saved_pickled_and_repeated_to_the_bit(self, tmp_path):
        X, y, arm, _ = trial(n=120, n_arms=3)
        est = tiny(context="data").fit(X, y, arm)
        for copy in copies_of(est, X, y, arm, tmp_path / "model.hypercate"):
            np.testing.assert_array_equal(copy.predict(X), est.predict(X))
            np.testing.assert_array_equal(copy.effect_interval(X), est.effect_interval(X))
        est.save(tmp_path / "bare.hypercate", evidence=False)
        bare = HyperCATE.load(tmp_path / "bare.hypercate", device="cpu")
        np.testing.assert_array_equal(bare.predict(X), est.predict(X))
        assert not np.array_equal(est.predict(X), tiny().fit(X, y, arm).predict(X))

    @pytest.mark.parametrize(
        "parameters",
        [
            {"effort": "fast"},
            {"learner": "ra", "uncertainty": "both", "hypernet_noise": 0.1},
            {"learner": "tarnet", "hypernet": "attention", "sharing": "auto"},
            {"outcome": "positive", "inputs": "raw", "generation": "once"},
            {"sharing": "auto", "inputs": "auto"},
        ],
        ids=str,
    )
    def test_work_with_the_other_parameters(self, parameters):
        X, y, arm, _ = trial(n=120, n_arms=3)
        est = clone(tiny(context="data")).set_params(**parameters)
        est.fit(X, np.exp(y / 10) if est.outcome == "positive" else y, arm)
        assert np.isfinite(est.predict(X)).all()
        assert np.isfinite(est.effect_interval(X)).all()

    def test_read_doses_and_descriptions(self):
        X, y, arm, _ = trial(n=120, n_arms=3)
        dose = np.random.default_rng(0).random(120)
        few = tiny(context="data", sharing="auto")
        assert np.isfinite(
            clone(few).set_params(treatment_kind="dose").fit(X, y, dose).predict(X)
        ).all()
        described = {"arm": [0, 1, 2, 3], "dose": [0.0, 1.0, 2.0, 3.0]}
        few.fit(X, y, arm, arm_features=pd.DataFrame(described))
        assert np.isfinite(few.effect_interval(X)).all()
        assert not few.fitted_.generators[0].buffers["context"][:, 3].any()

    def test_look_inside_as_any_other(self):
        X, y, arm, _ = trial(n=120, n_arms=3)
        est = tiny(context="data", pretrained="none", second_stage="none").fit(X, y, arm)
        assert arm_similarity(est, X).embedding.shape == (3, 3)
        assert (layer_departures(est) > 0).all(axis=None)
        np.testing.assert_allclose(
            along_step(est, X, 0, 2, n_steps=2)["outcome"],
            est.predict_outcomes(X)[:, [0, 2]].mean(axis=0),
            rtol=1e-4,
            atol=1e-4,
        )

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"generation": "none"}, "context='data' is an input of the generator"),
            ({"sharing": "independent"}, "context='data' is an input of the generator"),
            ({"effort": "instant"}, "effort='instant' trains nothing, so context"),
        ],
        ids=str,
    )
    def test_are_refused_where_it_has_no_effect(self, parameters, message):
        X, y, arm, _ = trial(n=60)
        with pytest.raises(ValueError, match=re.escape(message)):
            tiny(context="data").set_params(**parameters).fit(X, y, arm)
