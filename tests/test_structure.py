"""The tree: no module is too long to read, and nearly every one has its tests at the mirrored path."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "src" / "glioseg"
MODULES = sorted(LIBRARY.rglob("*.py"))
MAX_LINES = 300


def defines_something(module: Path) -> bool:
    """Whether a module has more than a docstring, imports and `__all__`."""
    return any(
        not isinstance(node, ast.Expr | ast.Import | ast.ImportFrom | ast.Assign)
        or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) != "__all__")
        for node in ast.parse(module.read_text()).body
    )


def mirrored(module: Path) -> Path:
    """Where a module's tests are: `tests/a/test_b.py` for `a/b.py`, `tests/p/test_p.py` for package `p`."""
    inside = module.relative_to(LIBRARY).parent
    name = module.parent.name if module.stem == "__init__" else module.stem
    return ROOT / "tests" / inside / f"test_{name}.py"


def test_no_module_has_more_than_300_lines():
    lines = {str(module.relative_to(ROOT)): len(module.read_text().splitlines()) for module in MODULES}
    assert {name: count for name, count in lines.items() if count > MAX_LINES} == {}


def test_nine_in_ten_modules_have_their_tests_at_the_mirrored_path():
    modules = [module for module in MODULES if defines_something(module)]
    without = [str(module.relative_to(LIBRARY)) for module in modules if not mirrored(module).is_file()]
    assert len(without) <= len(modules) / 10, without
