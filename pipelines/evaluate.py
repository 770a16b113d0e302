"""Stage evaluate: measure the model on the test cases, draw them, and report."""

from pathlib import Path

from _stage import chosen_cluster, run, tuned_params
from glioseg.core.files import read_json, replaced_whole
from glioseg.core.fingerprint import folder_fingerprint
from glioseg.data.cohort.cases import COHORT, Case, read_cases
from glioseg.evaluation.cost import resources
from glioseg.evaluation.per_case import judge_cases, predict_cases
from glioseg.evaluation.table import dice_table, interval_line, lesion_line
from glioseg.mlops.tracking.fingerprints import TEST_FILES, metric_code, origin
from glioseg.models.inference.model_cache import KeptModel

RAW, SPLITS = Path("data/raw"), Path("data/splits.json")
MODEL, RECORD, REPORTS = Path("models/calibrated"), Path("reports/calibrate/model.json"), Path("reports")
SHOWN = ("crop", "split", "network", "train", "inference", "evaluate", "model")


def main() -> None:
    # Worker processes import this file too: what they do not need is imported here.
    from glioseg.evaluation.modality_subsets import subset_dice
    from glioseg.evaluation.report import write_report
    from glioseg.evaluation.results import EVALUATION, METRICS, PAGE, PER_CASE, all_metrics, write_results
    from glioseg.mlops.tracking.mlflow_runs import flatten, log_evaluation

    params, trained = tuned_params(), read_json(RECORD)
    asked, cases, cluster = params.evaluate, cases_of("test"), chosen_cluster()
    # One process of this machine is enough for a network, which uses all cores.
    kept = KeptModel((MODEL,), folder_fingerprint(MODEL))
    far, model = (cluster, kept) if cluster.far else (None, kept.load())
    with replaced_whole(REPORTS / "predictions") as masks, replaced_whole(REPORTS / "pictures") as pictures:
        answers, costs = predict_cases(model, cases, masks, cluster=far)
        where = {"predictions": masks, "pictures": pictures}
        table = judge_cases(cases, answers, **where, imagej=asked.imagej, cluster=cluster)
        metrics = all_metrics(table, asked, training=cases_of("train"))
        if asked.modality_subsets:
            metrics["modality_subsets"] = subset_dice(model, cases, cluster=far)
        facts = origin((file for case in cases for file in case.files.values()), RAW, trained)
        everything = params.model_dump(mode="json", by_alias=True, exclude={"compute"})
        everything["model"] = model.settings.told
        settings = {name: everything[name] for name in SHOWN}
        page = write_report(table, metrics, pictures=pictures, origin=facts, params=flatten(settings))
    cost, code = resources(costs), metric_code()
    write_results(REPORTS, table=table, metrics=metrics, resources=cost, page=page, metric_code=code)
    files = [REPORTS / name for name in (METRICS, PER_CASE, PAGE, EVALUATION)]
    log_evaluation(
        run=trained,
        params=everything,
        cases=len(cases),
        test_data=facts[TEST_FILES],
        metrics=metrics | cost,
        files=[*files, *sorted((REPORTS / "pictures").iterdir())],
    )
    print(f"evaluate: {len(cases)} test cases, pictures and all numbers in {REPORTS / PAGE}")
    print(f"\n{dice_table(metrics)}")
    print(lesion_line(metrics), interval_line(metrics), sep="\n")


def cases_of(part: str) -> list[Case]:
    return read_cases(RAW / COHORT, read_json(SPLITS)[part])


if __name__ == "__main__":
    run(main)
