"""From trained models to all that a fitted estimator keeps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from hypercate.ensemble import Ensemble
from hypercate.evidence import Evidence
from hypercate.fitted import Choice, Fitted, Generator
from hypercate.folds import Folds
from hypercate.generator.draws import draw_networks
from hypercate.inference.jackknife import (
    Calibration,
    between_models,
    calibrate,
    missed_heterogeneity,
)
from hypercate.networks import Networks
from hypercate.nuisance.propensity import Propensity
from hypercate.nuisance.views import Views
from hypercate.study import Encoded

_CALIBRATION_ROWS = 512


def assemble(
    encoded: Encoded,
    folds: Folds,
    ensemble: Ensemble,
    propensity: Propensity,
    cross_fitted: np.ndarray,
    views: Views,
    *,
    n_members: int,
    source: str,
    calibrated: bool,
    device: torch.device,
    seed: int,
) -> Fitted:
    """Gather what models say of the rows they are judged on, calibrate, and keep what is needed.

    Arms leave their canonical order here, for that of the estimator's arms.

    Parameters
    ----------
    encoded : Encoded
    folds : Folds
    ensemble : Ensemble
    propensity : Propensity
    cross_fitted : ndarray, shape (n, n_conditions)
        Propensities of the rows.
    views : Views
    n_members : int
        Models, the first ones, whose mean is the prediction.
    source : str
        What draws differ by; a key of `SOURCES`.
    calibrated : bool
    device : torch.device
    seed : int
    """
    place = encoded.conditions.place
    networks = _networks(ensemble, folds, views, place, n_members, source, seed)
    evidence = _evidence(encoded, folds, networks, views, cross_fitted[:, place], device)
    calibration = Calibration.none(len(place))
    if calibrated:
        rows = folds.first(_CALIBRATION_ROWS)
        x = encoded.study.x[rows]
        second = replace(
            networks,
            theta=ensemble.second.numpy()[:, place],
            model=networks.model[: folds.n_models],
        )
        sharing = np.array(ensemble.candidates.sharing)
        all_constant = len(set(sharing)) > 1 and (sharing[ensemble.chosen] == "intercept").all()
        canonical = np.argsort(place)
        calibration = calibrate(
            networks.deviations(x, device)[1][..., canonical],
            networks.by_model(x, device)[..., canonical],
            second.by_model(x, device)[..., canonical],
            folds.partition,
            folds.n_parts,
            n_members,
            missed_heterogeneity(evidence)[canonical] if all_constant else None,
        )
        calibration = replace(calibration, level=calibration.level[:, place])
    return Fitted(
        features=encoded.features,
        conditions=encoded.conditions,
        family=encoded.family,
        networks=networks,
        generator=Generator(
            ensemble.hypernet,
            {name: tensor.numpy() for name, tensor in ensemble.params.items()},
            {name: tensor.numpy() for name, tensor in ensemble.buffers.items()},
        ),
        propensity=propensity,
        calibration=calibration,
        choice=_choice(ensemble, n_members),
        seed=seed,
        evidence=evidence,
    )


def _networks(
    ensemble: Ensemble,
    folds: Folds,
    views: Views,
    place: np.ndarray,
    n_members: int,
    source: str,
    seed: int,
) -> Networks:
    theta, model = ensemble.theta, np.arange(folds.n_models)
    mixture = between_models(folds.partition)
    if source != "members":
        drawn, of, mixture = draw_networks(
            ensemble.hypernet, ensemble.params, ensemble.buffers, source, seed
        )
        theta, model = torch.cat([theta, drawn]), np.append(model, of)
    reads = np.array(ensemble.candidates.inputs)[ensemble.chosen] == "boosted"
    return Networks(
        net=ensemble.hypernet.net,
        learner=ensemble.learner,
        theta=np.ascontiguousarray(theta.numpy()[:, place]),
        model=model,
        location=ensemble.location,
        scale=ensemble.scale,
        views=tuple(
            view if read else replace(view, boosted=None)
            for view, read in zip(views.views, reads, strict=True)
        ),
        n_members=n_members,
        mixture=mixture,
    )


def _evidence(
    encoded: Encoded,
    folds: Folds,
    networks: Networks,
    views: Views,
    propensity: np.ndarray,
    device: torch.device,
) -> Evidence:
    study, judge = encoded.study, folds.judge
    outcomes = networks.at_own_rows(
        study.x, views.inputs if views.n_last else None, judge.index, device
    )
    model, column = np.nonzero(judge.real)
    return Evidence(
        arm=encoded.conditions.position_of(study.condition),
        y=study.y,
        weight=study.weight,
        cluster=study.cluster,
        propensity=propensity,
        row=judge.index[model, column],
        model=model,
        outcomes=outcomes[model, column],
        used=encoded.used,
        fingerprint=encoded.fingerprint,
        index_hash=encoded.index_hash,
    )


def _choice(ensemble: Ensemble, n_members: int) -> Choice:
    found = ensemble.found
    chosen = ensemble.chosen[:n_members]
    n_candidates = found.loss.shape[1]
    nets = np.arange(n_members) * n_candidates + chosen
    history = found.history[np.isin(found.history[:, 0], nets)].astype(np.float64)
    history[:, 0] //= n_candidates
    return Choice(
        sharing=tuple(ensemble.candidates.sharing),
        inputs=tuple(ensemble.candidates.inputs),
        loss=found.loss[:n_members].astype(np.float64),
        chosen=chosen,
        history=history[np.lexsort((history[:, 1], history[:, 0]))],
    )
