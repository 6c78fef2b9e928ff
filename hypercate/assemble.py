"""From trained models to all that a fitted estimator keeps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from hypercate.ensemble import Ensemble
from hypercate.evidence import Evidence
from hypercate.fitted import Choice, Fitted, Pretrained, Seen
from hypercate.folds import Folds
from hypercate.inference.jackknife import (
    Calibration,
    between_models,
    calibrate,
    missed_heterogeneity,
)
from hypercate.networks import Networks
from hypercate.nuisance.assignment import Assignment
from hypercate.nuisance.views import Views
from hypercate.pretraining.emission import Emission
from hypercate.progress import LOG
from hypercate.study import Encoded

_CALIBRATION_ROWS = 512


def assemble(
    encoded: Encoded,
    folds: Folds,
    ensemble: Ensemble,
    propensity: Assignment,
    cross_fitted: np.ndarray,
    views: Views,
    *,
    n_members: int,
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
    propensity : Propensity or SuppliedPropensity
    cross_fitted : ndarray, shape (n, n_conditions)
        Propensities of the rows.
    views : Views
    n_members : int
        Models, the first ones, whose mean is the prediction.
    calibrated : bool
        Scale draws to a jackknife; not those of networks that have no random start.
    device : torch.device
    seed : int
    """
    place_received, doses = encoded.conditions.place_received, encoded.doses
    place = encoded.conditions.place if doses is None else np.arange(doses.n_splines)
    networks = _networks(ensemble, folds, views, place, n_members)
    evidence = _evidence(encoded, folds, networks, views, cross_fitted[:, place_received], device)
    calibration = Calibration.none(len(place))
    if calibrated and ensemble.second is not None:
        rows = folds.first(_CALIBRATION_ROWS)
        x = encoded.study.x[rows]
        second = replace(
            networks,
            theta=_in_order(ensemble.second, place),
            model=networks.model[: folds.n_models],
        )
        choice = ensemble.choice
        held = _found_alike(choice, of_effects=networks.effects is not None)
        canonical = np.argsort(place)
        posterior = None
        if ensemble.emission is not None and networks.effects is None:
            emitted = _posterior(networks, ensemble.emission, place_received)
            posterior = emitted.deviations(x, device)[1]
        outcomes, deviations = networks.deviations(x, device)
        unit = encoded.family.unit_of_deviations(outcomes)
        missed = None
        if held:
            missed = _of_all_arms(missed_heterogeneity(evidence), len(place)) / unit.mean(axis=0)
            missed = held * missed[canonical]
        departs = 0 if ensemble.departures is None else len(ensemble.departures[1])

        def in_units(values: np.ndarray) -> np.ndarray:
            n_arms = values.shape[-1]  # described arms, which come last, may lack
            return (values / unit[:, :n_arms])[..., canonical[:n_arms]]

        calibration = calibrate(
            in_units(deviations[: len(deviations) - departs]),
            in_units(networks.by_model(x, device)),
            in_units(second.by_model(x, device)),
            folds.partition,
            folds.n_parts,
            n_members,
            missed,
            None if posterior is None else in_units(posterior),
            (choice.effects[:, 0] * choice.emitted).mean(),
        )
        level = np.ascontiguousarray(calibration.level[:, place])
        relative = None if calibration.relative is None else calibration.relative[place]
        calibration = replace(calibration, level=level, relative=relative)
        LOG.info(
            "calibration: deviations of the models count %.3g times, with %.3g degrees of freedom",
            calibration.scale,
            calibration.dof,
        )
    return Fitted(
        features=encoded.features,
        conditions=encoded.conditions,
        family=encoded.family,
        networks=networks,
        generators=ensemble.generators,
        pretrained=Pretrained(ensemble.emission.sha256) if ensemble.emission else None,
        propensity=propensity,
        calibration=calibration,
        choice=ensemble.choice.of_first(n_members),
        seed=seed,
        evidence=evidence,
        doses=doses,
        seen=Seen(np.bincount(evidence.arm, evidence.weight), encoded.mean_weight),
    )


def _found_alike(choice: Choice, of_effects: bool) -> float:
    """Weight of effects that were found the same for all rows, the mean over the models.

    These are the constant of a second stage, and trained networks whose arms differ by a constant,
    where they might have differed by more. `of_effects` says that effects have networks of their
    own, which always may.
    """
    sharing = np.array(choice.sharing)
    alike = sharing[choice.chosen] == "intercept"
    alike &= len(set(sharing)) > 1 and not of_effects
    kept, constant = choice.effects[:, :2].T
    return float((constant + kept * (1 - choice.emitted) * alike).mean())


def _networks(
    ensemble: Ensemble, folds: Folds, views: Views, place: np.ndarray, n_members: int
) -> Networks:
    theta, model = ensemble.theta, np.arange(folds.n_models)
    mixture = between_models(folds.partition)
    if ensemble.drawn is not None:
        drawn, of, mixture = ensemble.drawn
        theta, model = torch.cat([theta, drawn]), np.append(model, of)
    if ensemble.departures is not None:
        departed, of, more = ensemble.departures
        theta, model = torch.cat([theta, departed]), np.append(model, of)
        mixture = np.vstack([np.pad(mixture, ((0, 0), (0, len(of)))), more])
    reads = np.array(ensemble.choice.inputs)[ensemble.choice.chosen] == "boosted"
    reads |= ensemble.effects is not None  # whose networks may have chosen otherwise
    return Networks(
        net=ensemble.net,
        learner=ensemble.learner,
        theta=_in_order(theta, place),
        model=model,
        location=ensemble.location,
        scale=ensemble.scale,
        views=tuple(
            view if read else view.without_trees
            for view, read in zip(views.views, reads, strict=True)
        ),
        stages=tuple(stage.with_arms(place) for stage in ensemble.stages),
        effects=ensemble.effects and ensemble.effects.with_arms(place),
        n_members=n_members,
        mixture=mixture,
    )


def _of_all_arms(values: np.ndarray, n_arms: int) -> np.ndarray:
    """Values of the arms that rows received, and their mean for those that none did."""
    return np.pad(values, (0, n_arms - len(values)), constant_values=values.mean())


def _in_order(theta: torch.Tensor, place: np.ndarray) -> np.ndarray:
    """Weights of networks (m, n_arms + n_effects, n_weights), arms in the estimator's order."""
    of_effects = np.arange(len(place), theta.shape[1])
    return np.ascontiguousarray(theta.numpy()[:, np.append(place, of_effects)])


def _posterior(networks: Networks, emission: Emission, place: np.ndarray) -> Networks:
    """Emitted networks, whose deviations are draws from their posterior distribution."""
    drawn, of, mixture = emission.deviations()
    return replace(
        networks,
        net=emission.net,
        theta=_in_order(torch.cat([emission.theta, drawn]), place),
        model=np.append(networks.model[: networks.n_models], of),
        stages=(),
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
    study, judge, doses = encoded.study, folds.judge, encoded.doses
    model, column = np.nonzero(judge.real)

    def judged(networks: Networks) -> np.ndarray:
        view = views.inputs if views.n_last else None
        return networks.at_own_rows(study.x, view, judge.index, device)[model, column]

    row = judge.index[model, column]
    y = study.y if study.y.ndim == 1 else _mean_by_row(row, study.y[model, row])
    if doses is None or study.splines is None:
        outcomes = judged(networks)
    else:
        place = encoded.conditions.place
        outcomes = judged(networks.at_doses(doses.of_range[place]))
        at_own_dose = networks.at_doses(study.splines[judge.index][:, :, None])
        off = outcomes[np.arange(len(row)), encoded.conditions.position_of(study.condition)[row]]
        off -= judged(at_own_dose)[:, 0]
        y = y + _mean_by_row(row, off)
    return Evidence(
        arm=encoded.conditions.position_of(study.condition),
        y=y,
        weight=study.weight,
        cluster=study.cluster,
        propensity=propensity,
        row=row,
        model=model,
        outcomes=outcomes[:, : encoded.conditions.n_received],
        used=encoded.used,
        fingerprint=encoded.fingerprint,
        index_hash=encoded.index_hash,
    )


def _mean_by_row(row: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Mean of values of judgements in each row."""
    return np.bincount(row, values) / np.bincount(row)
