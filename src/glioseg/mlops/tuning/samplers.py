"""Optuna's samplers and pruners, with every argument that affects the course of a study.

Optuna changes defaults between versions: in version 5, TPE became multivariate with constant liar. So this
module passes all arguments that Optuna has not deprecated; a test compares them with Optuna's signatures.
"""

from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, NSGAIISampler, QMCSampler, RandomSampler, TPESampler
from optuna.samplers.nsgaii import UniformCrossover

from glioseg.params.study import REDUCTION_FACTOR, Tune


def make_sampler(tune: Tune, *, trial: int) -> BaseSampler:
    """The sampler of one trial, the `trial`-th to be sampled, with its own seed.

    So an interrupted study samples the same values as an uninterrupted one, and all workers differ.
    """
    seed = tune.seed + trial
    match tune.sampler:
        case "random":
            return RandomSampler(seed=seed)
        case "qmc":
            return _qmc(tune.seed)
        case "nsga2":
            return _nsga2(seed, tune.trials)
        case "tpe":
            return _tpe(seed, tune)


def _tpe(seed: int, tune: Tune) -> TPESampler:
    """Tree-structured Parzen estimator; with two objectives, it learns from Pareto fronts."""
    return TPESampler(
        seed=seed,
        # A density needs some points: the first half of the trials is random, at most ten trials.
        n_startup_trials=max(1, min(10, tune.trials // 2)),
        n_ei_candidates=24,
        # One joint density of all parameters finds good combinations (BOHB, Falkner et al. 2018). Trials near
        # a Pareto front have little in common: with two objectives, each parameter has its own density.
        multivariate=len(tune.objectives) == 1,
        # Joint densities of conditional parameters are experimental in Optuna: sample them independently.
        group=False,
        # Running trials count as poor ones, so that several workers try different values.
        constant_liar=True,
    )


def _qmc(seed: int) -> QMCSampler:
    """Points of one scrambled Sobol sequence, whose seed all trials must share."""
    return QMCSampler(
        qmc_type="sobol",
        scramble=True,
        seed=seed,
        independent_sampler=RandomSampler(seed=seed),  # for the first trial, when the space is not known yet
        warn_asynchronous_seeding=False,
        warn_independent_sampling=False,
    )


def _nsga2(seed: int, trials: int) -> NSGAIISampler:
    """NSGA-II (Deb et al. 2002), with a population that gives a study at least four generations."""
    return NSGAIISampler(
        seed=seed,
        population_size=max(4, min(50, trials // 4)),
        crossover=UniformCrossover(swapping_prob=0.5),  # each value from either parent with equal probability
        crossover_prob=0.9,  # as published
        swapping_prob=0.5,
        mutation=None,  # a mutated parameter is sampled from its whole domain
        mutation_prob=None,  # 1 / number of parameters, as published
    )


def make_pruner(tune: Tune) -> BasePruner:
    """The pruner of `tune.pruner`."""
    match tune.pruner:
        case "hyperband":
            return HyperbandPruner(
                min_resource=1, max_resource=tune.epochs, reduction_factor=REDUCTION_FACTOR, bootstrap_count=0
            )
        case "successive_halving":
            return SuccessiveHalvingPruner(
                min_resource=1,
                reduction_factor=REDUCTION_FACTOR,
                min_early_stopping_rate=0,
                bootstrap_count=0,
            )
        case "none":
            return NopPruner()
        case "median":
            # No pruning in the first third of the epochs, nor in the first third of the trials (at most 5).
            return MedianPruner(
                n_startup_trials=max(1, min(5, tune.trials // 3)),
                n_warmup_steps=tune.epochs // 3,
                interval_steps=1,
                n_min_trials=1,
            )
