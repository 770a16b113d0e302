"""Run the benchmarks: `python -m bench`, from the repository's root."""

import argparse
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from bench import (
    ablation,
    add_case,
    few_shot,
    fresh_clone,
    infer_case,
    input_pipeline,
    machine,
    prepare_cases,
    prepare_memory,
    quality,
    read_patch,
    report,
    repro_again,
    scaling,
    serve,
    shared_load,
    train_step,
)
from bench.options import Options
from bench.results import done, save
from bench.worker import WorkerError
from glioseg.core.errors import GliosegError

BENCHMARKS = {
    "fresh_clone": fresh_clone,
    "train_step": train_step,
    "input_pipeline": input_pipeline,
    "read_patch": read_patch,
    "prepare_cases": prepare_cases,
    "prepare_memory": prepare_memory,
    "add_case": add_case,
    "repro_again": repro_again,
    "infer_case": infer_case,
    "serve": serve,
    "scaling": scaling,
    "shared_load": shared_load,
    "quality": quality,
    "ablation": ablation,
    "few_shot": few_shot,
}
ON_REQUEST = {"few_shot"}
"""Those that take a day: they run only if they are named, and then go on where they stopped."""


def main() -> None:
    """Run those that are not done yet, each by itself, and write the page after each."""
    arguments = _arguments()
    options = Options(
        smoke=arguments.smoke,
        avx2=arguments.avx2,
        minutes=arguments.minutes,
        train_minutes=arguments.train_minutes,
        model=arguments.model,
        real=Path(real) if (real := os.environ.get("GLIOSEG_REAL_SCANS")) else None,
        few_shot_minutes=arguments.few_shot_minutes,
        init=arguments.init,
        trainings=arguments.trainings,
        at_most=arguments.at_most,
    )
    machine.pin()
    if options.avx2:
        machine.limit_to_avx2()
    here = machine.describe()
    for name in (
        [arguments.only] if arguments.only else [name for name in BENCHMARKS if name not in ON_REQUEST]
    ):
        benchmark, file = BENCHMARKS[name], options.result(name)
        record = {"settings": options.settings(benchmark.USES), "machine": here}
        if not arguments.fresh and name not in ON_REQUEST and done(file, **record):
            print(f"{name}: done already ({file}); --fresh measures again")
            continue
        if arguments.fresh:
            shutil.rmtree(options.work / name, ignore_errors=True)
            options.scores(name).unlink(missing_ok=True)
        print(f"{name}: running, logs in {options.work / 'logs'}", flush=True)
        save(file, benchmark.run(options), **record)
        report.write(options.page, _sections(options))
    print(f"all results: {options.page}")


def _sections(options: Options) -> dict[str, Path]:
    """Where each section of the page comes from, by its title."""
    sections = {}
    for name, module in BENCHMARKS.items():
        sections[module.TITLE] = replace(options, avx2=False).result(name)
        sections[f"{module.TITLE} (limited to AVX2)"] = replace(options, avx2=True).result(name)
    return sections


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", choices=BENCHMARKS, help="run this one alone")
    parser.add_argument(
        "--fresh", action="store_true", help="measure again what is done already, from its trainings on"
    )
    parser.add_argument("--minutes", type=float, default=20, help="training time in quality")
    parser.add_argument("--train-minutes", type=float, default=20, help="of infer_case's 1 mm network")
    parser.add_argument("--model", type=Path, help="a trained 1 mm model folder for infer_case")
    parser.add_argument("--few-shot-minutes", type=float, default=15, help="training time in few_shot")
    parser.add_argument(
        "--init", type=Path, help="model folder that few_shot starts from instead of builtin-synthetic"
    )
    parser.add_argument(
        "--trainings", default="*", help="which trainings of few_shot, e.g. 'n08_fold1_*'; default: all"
    )
    parser.add_argument("--at-most", type=int, help="how many trainings of few_shot, e.g. 1; 0: report alone")
    parser.add_argument(
        "--avx2", action="store_true", help="as on a processor without AVX-512; results of their own"
    )
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: does it work?")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except (GliosegError, OSError, ValueError, WorkerError) as error:
        sys.exit(f"bench: {error}")
