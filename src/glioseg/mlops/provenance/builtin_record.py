"""How the built-in model came to be: the record that came with it, kept with its version."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow import MlflowClient

from glioseg.core.files import read_json
from glioseg.mlops.provenance.collectors import RECORD, Record
from glioseg.mlops.provenance.recorder import SEAL, folder_of
from glioseg.mlops.tracking.fingerprints import sha256
from glioseg.models import builtin

KEPT_OF_BUILTIN = (builtin.RECORD, builtin.HISTORY, builtin.CARD)
NOT_HERE = ("parameters", "training", "evaluation", "study")
ELSEWHERE = "the built-in model was trained by pipelines/pretrain.py, and not by a project's stages"


def keep_packaged(client: MlflowClient, name: str, version: str) -> None:
    """Keep with the built-in model's version what came with it; see `keeping.keep_lineage`."""
    folder = builtin.builtin_model()
    told = read_json(folder / builtin.RECORD)
    facts, missing = {"pretraining": told}, dict.fromkeys(NOT_HERE, ELSEWHERE)
    last = told["trained"][-1]
    facts["environment"] = {"sha256": last["environment"]}
    if last["dirty"]:
        missing["code"] = f"files differed from commit {last['sha']} when it was trained, and were not kept"
    else:
        facts["code"] = {"commit": last["sha"], "changed": [], "untracked": []}
    model_id = client.get_model_version(name, version).source.removeprefix("models:/")
    with TemporaryDirectory() as place:
        aside = Path(place)
        for file in KEPT_OF_BUILTIN:
            shutil.copyfile(folder / file, aside / file)
        files = {file: sha256((aside / file).read_bytes()) for file in KEPT_OF_BUILTIN}
        Record(facts, missing, files).save(aside)
        client.log_model_artifacts(model_id, place, folder_of(name, version))
        seal = sha256((aside / RECORD).read_bytes())
    client.set_model_version_tag(name, version, SEAL, seal)
    client.update_model_version(name, version, description=(folder / builtin.CARD).read_text())
