"""Hashes that say from which code, libraries and files a result was made.

Everything that stores results under a key takes its hashes from here: the records of cases, studies,
interrupted trainings, finished predictions, registered versions, and the check that a cluster's machines
run the same code. Source files are read from the disk: what a process has imported so far does not matter.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Lock

import glioseg

PACKAGE = Path(glioseg.__file__).parent
NAME = glioseg.__name__
WITHOUT_EFFECT = ("compute/", "cli/__init__.py")
"""Parts of the package that no result depends on: where cases are done, and the list of all commands."""

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
"""Libraries whose version may change a result, by the name that code imports; the name to install it by."""

_one_at_a_time = Lock()


@dataclass(frozen=True)
class Code:
    """Source files of glioseg, by their path in the package: `data/cohort/case_cache.py`."""

    sources: Mapping[str, bytes]

    @classmethod
    def read(cls, package: Path) -> "Code":
        """All source files of a package folder: the one that runs, or a copy of it."""
        files = [file for file in package.rglob("*.py") if file.is_file()]  # not a lock that an editor left
        return cls({file.relative_to(package).as_posix(): file.read_bytes() for file in files})

    def used_by(self, *modules: str) -> "Code":
        """The source of modules or packages, and of all modules of glioseg that they import, at any depth.

        Imports inside functions count; what is `WITHOUT_EFFECT` does not.

        Args:
            modules: their names, e.g. `glioseg.data.store.cropped_store` or `glioseg.models`, which is every module in it.

        Raises:
            ValueError: there is no such module.
        """
        todo, used = [file for module in modules for file in self._named(module)], set()
        while todo:
            file = todo.pop()
            if file not in used and not file.startswith(WITHOUT_EFFECT):
                used.add(file)
                todo += [found for name in _imports(self.sources[file]) for found in self._run_by(name)]
        return Code({file: self.sources[file] for file in used})

    def _named(self, module: str) -> list[str]:
        """The file of a module and of the packages it is in; of a package also all that is in it."""
        inside = f"{module.partition('.')[2].replace('.', '/')}/"
        found = [*self._run_by(module), *(file for file in self.sources if file.startswith(inside))]
        if not {f"{inside[:-1]}.py", f"{inside}__init__.py"} & set(found):
            raise ValueError(f"{module}: expected a module of {NAME}, found none")
        return found

    def _run_by(self, module: str) -> Iterator[str]:
        """The files that run when a module is imported: its own, and those of the packages it is in."""
        top, *parts = module.split(".")
        for end in range(len(parts) + 1) if top == NAME else ():
            path = "/".join(parts[:end])
            yield from {f"{path}.py", f"{path}/__init__.py".lstrip("/")} & self.sources.keys()

    @property
    def source(self) -> str:
        """The hash of all files: of where each lies in the package, and of its content."""
        return _combine((path, hashlib.sha256(content).hexdigest()) for path, content in self.sources.items())

    @property
    def libraries(self) -> str:
        """The versions that are installed of those `LIBRARIES` that this code imports.

        >>> Code({"a.py": b"import json"}).libraries
        ''
        """
        imported = {name.partition(".")[0] for source in self.sources.values() for name in _imports(source)}
        return " ".join(
            f"{LIBRARIES[name]}=={_installed(name)}" for name in sorted(imported & LIBRARIES.keys())
        )


@cache
def code_fingerprint(*modules: str) -> str:
    """The hash of the code that runs, and of the versions of the libraries that decide its results.

    Args:
        modules: as for `Code.used_by`; none: every file of glioseg.

    Raises:
        ValueError: there is no such module.
    """
    code = _running().used_by(*modules) if modules else _running()
    return _combine([("source", code.source), ("libraries", code.libraries)])


def files_fingerprint(files: Iterable[Path], *, folder: Path) -> str:
    """The hash of files: of where each lies in a folder, and of its content, whatever order they come in."""
    return _combine((file.relative_to(folder).as_posix(), sha256_file(file)) for file in files)


def folder_fingerprint(folder: Path) -> str:
    """The hash of all files in a folder: of where each lies in it, and of its content."""
    return files_fingerprint((file for file in folder.rglob("*") if file.is_file()), folder=folder)


def sha256_file(file: Path) -> str:
    """Hexadecimal SHA-256 of a file's content."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _combine(parts: Iterable[tuple[str, str]]) -> str:
    """One hash of names and their hashes; `repr` keeps apart what belongs to which."""
    return hashlib.sha256(repr(sorted(parts)).encode()).hexdigest()


def _running() -> Code:
    """The code that runs, as it lay on the disk when this process first asked: it does not load it anew."""
    with _one_at_a_time:
        return _read_once()


@cache
def _read_once() -> Code:
    return Code.read(PACKAGE)


@cache
def _imports(source: bytes) -> frozenset[str]:
    """The dotted names that a module imports; `from a import b` gives `a.b` too, which may be a module."""
    names = set[str]()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(names)


def _installed(library: str) -> str:
    try:
        return version(LIBRARIES[library])
    except PackageNotFoundError:
        return "none"
