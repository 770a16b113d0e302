"""How the built-in model came to be: the record that came with it, kept with its version."""

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow import MlflowClient

from glioseg.builtin import builtin_model
from glioseg.lab.lineage import sha256
from glioseg.lab.proof.facts import RECORD, Record
from glioseg.lab.proof.keeping import SEAL, folder_of

PRETRAINING = "pretraining.json"
KEPT_OF_BUILTIN = (PRETRAINING, "history.csv", "card.md")
NOT_HERE = "the built-in model was trained by pipelines/pretrain.yaml, and not by a project's stages"


def keep_packaged(client: MlflowClient, name: str, version: str) -> None:
    """Keep with the built-in model's version what came with it; see `keeping.keep_lineage`."""
    folder = builtin_model()
    told = json.loads((folder / PRETRAINING).read_text())
    facts = {
        "pretraining": told,
        "code": {"commit": told["commit"], "changed": [], "untracked": []},
        "environment": {"sha256": told["environment"]},
    }
    model_id = client.get_model_version(name, version).source.removeprefix("models:/")
    with TemporaryDirectory() as place:
        aside = Path(place)
        for file in KEPT_OF_BUILTIN:
            shutil.copyfile(folder / file, aside / file)
        files = {file: sha256((aside / file).read_bytes()) for file in KEPT_OF_BUILTIN}
        missing = dict.fromkeys(("parameters", "training", "evaluation", "study"), NOT_HERE)
        Record(facts, missing, files).save(aside)
        client.log_model_artifacts(model_id, place, folder_of(name, version))
        seal = sha256((aside / RECORD).read_bytes())
    client.set_model_version_tag(name, version, SEAL, seal)
    client.update_model_version(name, version, description=(folder / "card.md").read_text())
