"""Stage evaluate: evaluate the model on the test cases, and write figures and a report."""

from pathlib import Path

from _stage import configured_cluster, run, tuned_params
from glioseg.core.files import read_json, replace_folder_atomic
from glioseg.core.fingerprint import folder_fingerprint
from glioseg.data.cohort.cases import COHORT, Case, read_cases
from glioseg.evaluation.per_case import measure_cases, predict_cases, summarise_costs
from glioseg.evaluation.summary import dice_table, interval_line, lesion_line
from glioseg.mlops.tracking.run_tags import TEST_FILES, evaluation_origin, metric_code_fingerprint
from glioseg.models.inference.loading import CachedModel

RAW, SPLITS = Path("data/raw"), Path("data/splits.json")
MODEL, RECORD, REPORTS = Path("models/calibrated"), Path("reports/calibrate/model.json"), Path("reports")
SHOWN = ("crop", "split", "network", "train", "inference", "evaluate", "model")


def main() -> None:
    # Worker processes import this file too; they do not need these modules.
    from glioseg.evaluation import report
    from glioseg.evaluation.modality_subsets import subset_dice
    from glioseg.mlops.tracking.mlflow_runs import flatten, log_evaluation

    params, trained = tuned_params(), read_json(RECORD)
    options, cases, cluster = params.evaluate, cases_of("test"), configured_cluster()
    # On this machine one process suffices: the network uses all cores.
    cached = CachedModel((MODEL,), folder_fingerprint(MODEL))
    remote, model = (cluster, cached) if cluster.is_remote else (None, cached.load())
    with (
        replace_folder_atomic(REPORTS / "predictions") as masks,
        replace_folder_atomic(REPORTS / "pictures") as pictures,
    ):
        predictions, costs = predict_cases(model, cases, masks, cluster=remote)
        folders = {"predictions": masks, "pictures": pictures}
        table = measure_cases(cases, predictions, **folders, imagej=options.imagej, cluster=cluster)
        metrics = report.all_metrics(table, options, training=cases_of("train"))
        if options.modality_subsets:
            metrics["modality_subsets"] = subset_dice(model, cases, cluster=remote)
        origin = evaluation_origin((file for case in cases for file in case.files.values()), RAW, trained)
        logged = params.model_dump(mode="json", by_alias=True, exclude={"compute"})
        logged["model"] = model.settings.summary
        settings = {name: logged[name] for name in SHOWN}
        page = report.write_report(table, metrics, pictures=pictures, origin=origin, params=flatten(settings))
    cost, code = summarise_costs(costs), metric_code_fingerprint()
    report.write_results(REPORTS, table=table, metrics=metrics, resources=cost, page=page, metric_code=code)
    files = [REPORTS / name for name in report.LOGGED_FILES]
    log_evaluation(
        run=trained,
        params=logged,
        cases=len(cases),
        test_data=origin[TEST_FILES],
        metrics=metrics | cost,
        files=[*files, *sorted((REPORTS / "pictures").iterdir())],
    )
    print(f"evaluate: {len(cases)} test cases, figures and all numbers in {REPORTS / report.REPORT_FILE}")
    print("", dice_table(metrics), lesion_line(metrics), interval_line(metrics), sep="\n")


def cases_of(part: str) -> list[Case]:
    return read_cases(RAW / COHORT, read_json(SPLITS)[part])


if __name__ == "__main__":
    run(main)
