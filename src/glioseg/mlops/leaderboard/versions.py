"""Registered versions, and which model each was made of."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from mlflow import MlflowClient


@dataclass(frozen=True)
class Version:
    """A version of a registered model.

    `model_id` is MLflow's name of the logged model behind it, `per_case` the SHA-256 of the table of
    test cases that it was judged by.
    """

    name: str
    number: int
    aliases: Sequence[str]
    model_id: str
    per_case: str | None

    def __str__(self) -> str:
        """As a person writes it.

        >>> str(Version("glioseg", 3, ["champion"], "m-1", None))
        'glioseg 3 @champion'
        """
        return " ".join([self.name, str(self.number), *(f"@{alias}" for alias in self.aliases)])


def registered_versions(client: MlflowClient) -> list[Version]:
    """Every version of every registered model, the newest first."""
    aliases = defaultdict(list)
    for model in client.search_registered_models():
        for alias, number in sorted(model.aliases.items()):
            aliases[model.name, int(number)].append(alias)
    versions = [
        Version(
            found.name,
            int(found.version),
            aliases[found.name, int(found.version)],
            found.source.removeprefix("models:/"),
            found.tags.get("per_case_sha256"),
        )
        for found in client.search_model_versions()
    ]
    return sorted(versions, key=lambda version: (version.name, -version.number))
