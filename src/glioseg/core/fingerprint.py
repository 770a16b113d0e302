"""Fingerprints: hashes of the code, the library versions and the files that determine a result.

The per-case cache, studies, training checkpoints, predictions, registered versions and the check that all
machines of a cluster run the same code use these hashes as keys. Source files are read from disk, so that a
fingerprint does not depend on the modules that a process has imported so far.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Lock

PACKAGE = Path(__file__).parents[1]
PACKAGE_NAME = __name__.partition(".")[0]
IGNORED = ("compute/", "cli/__init__.py")
"""Parts of the package that do not affect results: parallel processing of cases, and the list of commands."""

LIBRARIES = {
    "blosc2": "blosc2",
    "isal": "isal",
    "jax": "jax",
    "keras": "keras",
    "nibabel": "nibabel",
    "nilearn": "nilearn",
    "numpy": "numpy",
    "optuna": "optuna",
    "pandas": "pandas",
    "scipy": "scipy",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "tensorflow": "tensorflow",
}
"""Libraries whose version may change a result: import name → package name."""
SMALLER_PACKAGES = {"tensorflow": "tensorflow-cpu"}
"""Packages with the same modules but no code for GPUs, which pyproject.toml prefers on some platforms."""

_read_lock = Lock()


@dataclass(frozen=True)
class SourceCode:
    """Source files of glioseg by path within the package, e.g. `data/cohort/case_cache.py`."""

    sources: Mapping[str, bytes]

    @classmethod
    def read(cls, package: Path) -> "SourceCode":
        """All source files of a package folder: of the running package, or of a copy."""
        files = [file for file in package.rglob("*.py") if file.is_file()]  # editors' locks are broken links
        return cls({file.relative_to(package).as_posix(): file.read_bytes() for file in files})

    def reachable_from(self, *modules: str) -> "SourceCode":
        """The source of the given modules and of all modules of glioseg that they import, at any depth.

        Imports inside functions count; files in `IGNORED` do not.

        Args:
            modules: names of modules, e.g. `glioseg.core.nifti`, or of packages, e.g. `glioseg.models`, which
                stand for all modules in them.

        Raises:
            ValueError: a module does not exist.
        """
        queue, reached = [file for module in modules for file in self._files_of(module)], set()
        while queue:
            file = queue.pop()
            if file not in reached and not file.startswith(IGNORED):
                reached.add(file)
                for name in _imports(self.sources[file]):
                    queue += self._run_on_import(name)
        return SourceCode({file: self.sources[file] for file in reached})

    def _files_of(self, module: str) -> list[str]:
        """The files that run when a module is imported; for a package, also all files in it."""
        folder = f"{module.partition('.')[2].replace('.', '/')}/"
        found = [*self._run_on_import(module), *(file for file in self.sources if file.startswith(folder))]
        if not {f"{folder[:-1]}.py", f"{folder}__init__.py"} & set(found):
            raise ValueError(f"{module}: expected a module of {PACKAGE_NAME}, found none")
        return found

    def _run_on_import(self, module: str) -> Iterator[str]:
        """The files that run when a module is imported: its own and the `__init__.py` of its packages."""
        top, *parts = module.split(".")
        for end in range(len(parts) + 1) if top == PACKAGE_NAME else ():
            path = "/".join(parts[:end])
            yield from {f"{path}.py", f"{path}/__init__.py".lstrip("/")} & self.sources.keys()

    @property
    def source(self) -> str:
        """Hash of the paths and the contents of all files."""
        return _hash_pairs(
            (path, hashlib.sha256(content).hexdigest()) for path, content in self.sources.items()
        )

    @property
    def libraries(self) -> str:
        """Installed versions of those `LIBRARIES` that this code imports.

        >>> SourceCode({"a.py": b"import json"}).libraries
        ''
        """
        imported = {name.partition(".")[0] for source in self.sources.values() for name in _imports(source)}
        return " ".join(
            f"{LIBRARIES[name]}=={installed_version(name)}" for name in sorted(imported & LIBRARIES.keys())
        )


@cache
def code_fingerprint(*modules: str) -> str:
    """Hash of the running code and of the versions of `LIBRARIES` that it imports.

    Args:
        modules: as for `SourceCode.reachable_from`; without any, all files of glioseg.

    Raises:
        ValueError: a module does not exist.
    """
    code = _running_code().reachable_from(*modules) if modules else _running_code()
    return _hash_pairs([("source", code.source), ("libraries", code.libraries)])


def files_fingerprint(files: Iterable[Path], *, folder: Path) -> str:
    """Hash of the paths within a folder and the contents of files, independent of their order."""
    return _hash_pairs((file.relative_to(folder).as_posix(), sha256_file(file)) for file in files)


def folder_fingerprint(folder: Path) -> str:
    """Hash of the paths within a folder and the contents of all its files."""
    return files_fingerprint((file for file in folder.rglob("*") if file.is_file()), folder=folder)


def sha256_bytes(content: bytes) -> str:
    """Hexadecimal SHA-256.

    >>> sha256_bytes(b"")[:8]
    'e3b0c442'
    """
    return hashlib.sha256(content).hexdigest()


def sha256_file(file: Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _hash_pairs(pairs: Iterable[tuple[str, str]]) -> str:
    """One hash of names and their hashes; `repr` delimits them unambiguously."""
    return hashlib.sha256(repr(sorted(pairs)).encode()).hexdigest()


def _running_code() -> SourceCode:
    """The source files as they were on disk at the first call: the process does not reload later edits."""
    with _read_lock:
        return _read_once()


@cache
def _read_once() -> SourceCode:
    return SourceCode.read(PACKAGE)


@cache
def _imports(source: bytes) -> frozenset[str]:
    """Dotted names that a module imports; `from a import b` yields `a` and `a.b`, which may be a module."""
    names = set[str]()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(names)


def installed_version(library: str) -> str:
    """The installed version of one of `LIBRARIES`, or "none"."""
    package = installed_package(LIBRARIES[library])
    return version(package) if package else "none"


def installed_package(name: str) -> str | None:
    """The package with this name, or its smaller form; None if neither is installed."""
    for package in (name, SMALLER_PACKAGES.get(name)):
        with suppress(PackageNotFoundError):
            if package and version(package):
                return package
    return None
