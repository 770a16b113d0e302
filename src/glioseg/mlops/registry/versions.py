"""The versions of a registered model: their tags, and the aliases that three of them bear.

`champion` serves; `previous` was champion before it; `challenger` is the newest version that the gate
did not let pass.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from glioseg.mlops.tracking.model_uri import RegistryError

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
SINCE, UNTIL = "champion_since", "champion_until"
"""Tags that say when a version became champion or ceased to be, and how."""
BY_HAND = "by hand"
"""How, where a person decided."""


@dataclass(frozen=True)
class Versions:
    """The versions of the model that is registered under a name."""

    client: MlflowClient
    name: str

    def bearer(self, alias: str) -> str | None:
        """The version that bears an alias."""
        try:
            version = self.client.get_registered_model(self.name).aliases.get(alias)
        except MlflowException:
            return None
        return None if version is None else str(version)

    def any(self) -> bool:
        """Whether there is a version at all."""
        return bool(self._all())

    def exists(self, version: str) -> bool:
        """Whether there is such a version."""
        return any(str(found.version) == version for found in self._all())

    def champions(self) -> list[str]:
        """The versions that are or were champion, from the first on, but for those that a person took back.

        A person may have had a reason that no test case shows.
        """
        found = {int(version.version): dict(version.tags) for version in self._all()}
        return [
            str(number)
            for number, tags in sorted(found.items())
            if tags.keys() & {SINCE, UNTIL} and BY_HAND not in tags.get(UNTIL, "")
        ]

    def model_id(self, version: str) -> str:
        """MLflow's name of the logged model that a version is."""
        source: str = self.client.get_model_version(self.name, version).source
        return source.removeprefix("models:/")

    def tags(self, version: str) -> dict[str, str]:
        """All tags of a version."""
        return dict(self.client.get_model_version(self.name, version).tags)

    def tag(self, version: str, tags: Mapping[str, str]) -> None:
        """Set tags of a version, in this order."""
        for key, value in tags.items():
            self.client.set_model_version_tag(self.name, version, key, value)

    def untag(self, version: str, *keys: str) -> None:
        """Remove tags of a version, where it has them."""
        for key in keys:
            self.client.delete_model_version_tag(self.name, version, key)

    def crown(self, version: str, *, instead_of: str | None, how: str) -> None:
        """Make a version champion; done again after a kill, it ends the same.

        Args:
            version: the new champion.
            instead_of: the version that is champion until now, to be `previous`.
            how: who decided, in words.
        """
        when = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {how}"
        if instead_of is not None:
            self._name(PREVIOUS, instead_of)
            self.tag(instead_of, {UNTIL: f"{when}: version {version} took its place"})
        self._name(CHAMPION, version)
        for alias in (CHALLENGER, PREVIOUS):
            if self.bearer(alias) == version:
                self.client.delete_registered_model_alias(self.name, alias)
        self.untag(version, UNTIL)
        self.tag(version, {SINCE: when})

    def challenge(self, version: str) -> None:
        """Call a version that did not pass `challenger`, unless a newer one is called so."""
        if int(version) >= int(self.bearer(CHALLENGER) or 0):
            self._name(CHALLENGER, version)

    def roll_back(self, to: str | None = None) -> str:
        """Make an earlier version champion by hand; what it replaces becomes `previous`.

        Args:
            to: the version; None for `previous`.

        Returns:
            One line that says what was done.

        Raises:
            RegistryError: no such version, or nothing to go back to.
        """
        standing, target = self.bearer(CHAMPION), to or self.bearer(PREVIOUS)
        self._check_target(target, standing)
        self.crown(str(target), instead_of=standing, how=BY_HAND)
        before = f", version {standing} is {PREVIOUS}" if standing else ""
        return f"{self.name}: version {target} is the champion{before}"

    def _check_target(self, target: str | None, standing: str | None) -> None:
        known = sorted(int(version.version) for version in self._all())
        if not known:
            raise RegistryError(f"expected a registered model {self.name}, found none of this name")
        if target is None:
            raise RegistryError(
                f"no version of {self.name} was champion before; name one of {known} with --to"
            )
        if int(target) not in known:
            raise RegistryError(f"expected one of the versions {known} of {self.name}, got {target}")
        if target == standing:
            raise RegistryError(f"version {target} of {self.name} is the champion; name another with --to")

    def _all(self) -> list:
        return list(self.client.search_model_versions(f"name = '{self.name}'"))

    def _name(self, alias: str, version: str) -> None:
        self.client.set_registered_model_alias(self.name, alias, version)
