"""The versions of a registered model: their tags, and the aliases of three of them.

`champion` is served; `previous` was champion before it; `challenger` is the best of those that never were
champion.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from glioseg.core.old_names import TAGS, old_name, with_current_names
from glioseg.mlops.tracking.model_uri import RegistryError

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
SINCE, UNTIL = "champion_since", "champion_until"
"""Tags with the time at which a version became champion or stopped being it, and the cause."""
BY_HAND = "by hand"
"""The cause if a person decided."""


@dataclass(frozen=True)
class Versions:
    """The versions of the registered model `name`."""

    client: MlflowClient
    name: str

    def version_under(self, alias: str) -> str | None:
        """The version that an alias names, or None."""
        try:
            version = self.client.get_registered_model(self.name).aliases.get(alias)
        except MlflowException:
            return None
        return None if version is None else str(version)

    def is_empty(self) -> bool:
        """Whether the registry has no version of this model."""
        return not self._all()

    def exists(self, version: str) -> bool:
        """Whether the registry has this version."""
        return any(str(found.version) == version for found in self._all())

    def tagged(self, tag: str, value: str) -> list[str]:
        """The versions with this value of a tag."""
        found = self.client.search_model_versions(f"name = '{self.name}' AND tags.{tag} = '{value}'")
        return [str(version.version) for version in found]

    def champions(self) -> list[str]:
        """Present and former champions, the oldest first, without those that a person rolled back.

        A person may have rolled a version back for a reason that the test cases do not show.
        """
        found = {int(version.version): dict(version.tags) for version in self._all()}
        return [
            str(number)
            for number, tags in sorted(found.items())
            if tags.keys() & {SINCE, UNTIL} and BY_HAND not in tags.get(UNTIL, "")
        ]

    def last_champion(self) -> str | None:
        """The present champion or, if someone removed its alias, the version that was champion until then."""
        tags = {version: self.tags(version) for version in self.champions()}
        order = {v: (UNTIL not in tags[v], tags[v].get(SINCE, ""), int(v)) for v in tags}
        return max(order, key=lambda version: order[version], default=None)

    def was_champion(self, version: str) -> bool:
        """Whether a version is or was champion, by the gate's decision or a person's."""
        return bool(self.tags(version).keys() & {SINCE, UNTIL})

    def never_champion(self) -> list[str]:
        """The versions that neither the gate nor a person made champion, the oldest first."""
        found = {int(version.version): dict(version.tags) for version in self._all()}
        aliased = {self.version_under(alias) for alias in (CHAMPION, PREVIOUS)}
        never = [str(number) for number, tags in sorted(found.items()) if not tags.keys() & {SINCE, UNTIL}]
        return [version for version in never if version not in aliased]  # earlier versions set no tags

    def model_id(self, version: str) -> str:
        """The `model_id` of the version's logged model."""
        source: str = self.client.get_model_version(self.name, version).source
        return source.removeprefix("models:/")

    def tags(self, version: str) -> dict[str, str]:
        """All tags of a version, under their current names."""
        return with_current_names(self.client.get_model_version(self.name, version).tags, TAGS)

    def set_tags(self, version: str, tags: Mapping[str, str]) -> None:
        """Set tags of a version in the order of `tags`."""
        for key, value in tags.items():
            self.client.set_model_version_tag(self.name, version, key, value)

    def delete_tags(self, version: str, *keys: str) -> None:
        """Delete tags of a version; tags that it does not have are ignored."""
        for key in {*keys, *(old_name(key, TAGS) for key in keys)}:
            self.client.delete_model_version_tag(self.name, version, key)

    def set_champion(self, version: str, *, replaces: str | None, cause: str) -> None:
        """Make a version champion; a call that repeats an interrupted one ends in the same state.

        Args:
            version: the new champion.
            replaces: the champion until now, which becomes `previous`.
            cause: the gate or a person, for the tags.
        """
        when = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {cause}"
        if replaces is not None:
            self._set_alias(PREVIOUS, replaces)
            self.set_tags(replaces, {UNTIL: f"{when}: version {version} took its place"})
        self._set_alias(CHAMPION, version)
        for alias in (CHALLENGER, PREVIOUS):
            if self.version_under(alias) == version:
                self.client.delete_registered_model_alias(self.name, alias)
        self.delete_tags(version, UNTIL)
        self.set_tags(version, {SINCE: when})

    def set_challenger(self, version: str) -> None:
        """Make a version challenger."""
        if self.version_under(CHALLENGER) != version:
            self._set_alias(CHALLENGER, version)

    def roll_back(self, to: str | None = None) -> str:
        """Make an earlier version champion by hand; the version that it replaces becomes `previous`.

        Args:
            to: the version; None for `previous`.

        Returns:
            One line that names the new champion.

        Raises:
            RegistryError: there is no such version, or no earlier champion.
        """
        current, target = self.version_under(CHAMPION), to or self.version_under(PREVIOUS)
        self._check_target(target, current)
        self.set_champion(str(target), replaces=current, cause=BY_HAND)
        before = f", version {current} is {PREVIOUS}" if current else ""
        return f"{self.name}: version {target} is the champion{before}"

    def _check_target(self, target: str | None, current: str | None) -> None:
        numbers = sorted(int(version.version) for version in self._all())
        if not numbers:
            raise RegistryError(f"expected a registered model {self.name}, found none of this name")
        if target is None:
            raise RegistryError(
                f"no version of {self.name} was champion before; name one of {numbers} with --to"
            )
        if int(target) not in numbers:
            raise RegistryError(f"expected one of the versions {numbers} of {self.name}, got {target}")
        if target == current:
            raise RegistryError(f"version {target} of {self.name} is the champion; name another with --to")

    def _all(self) -> list:
        return list(self.client.search_model_versions(f"name = '{self.name}'"))

    def _set_alias(self, alias: str, version: str) -> None:
        self.client.set_registered_model_alias(self.name, alias, version)
