"""The packages are layers: each imports only from those below it, and no module imports in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST_AT_THE_ROOT = 8
LONGEST = 400

LAYERS = (
    {"contract", "environment", "sandbox", "statistics"},
    {"formats", "producer", "settings"},
    {"ontology"},
    {"kili"},
    {"spool"},
    {"review"},
    {"tracing"},
    {"projects", "feedback"},
    {"intake", "delivery", "reports"},
    {"wiring"},
    {"sources"},
    {"monitoring"},
    {"runtime", "demo", "page"},
    {"app"},
    {"cli"},
    {"__main__"},
)
"""From the lowest to the highest; packages beside each other do not know one another."""


def modules() -> dict[str, Path]:
    found = {}
    for path in sorted((ROOT / "worker").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def layer_of(module: str) -> str:
    return module.split(".")[1]


def imported(module: str) -> Iterator[str]:
    """Modules of the worker that a module imports, wherever in its text."""
    for node in ast.walk(ast.parse(MODULES[module].read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "worker":
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else node.module


@cache
def imported_at_once(module: str) -> frozenset[str]:
    """What must be imported before a module can be: its imports outside of functions, but for its own package."""
    tree = ast.parse(MODULES[module].read_text("utf-8"))
    names = set()
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module in MODULES:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                names.add(full if full in MODULES else node.module)
    return frozenset(name for name in names if MODULES[name].name != "__init__.py")


def test_every_package_has_its_layer() -> None:
    placed = set().union(*LAYERS)
    assert placed == {layer_of(module) for module in MODULES if module != "worker"}
    assert sum(len(layer) for layer in LAYERS) == len(placed)


def test_imports_go_down() -> None:
    height = {name: at for at, layer in enumerate(LAYERS) for name in layer}
    upward = [
        f"{module} imports {target}"
        for module in MODULES
        if module != "worker"
        for target in imported(module)
        if target != "worker"
        and layer_of(target) != layer_of(module)
        and height[layer_of(target)] >= height[layer_of(module)]
        and (layer_of(module), layer_of(target)) not in ALLOWED
    ]
    assert upward == []


ALLOWED = {("monitoring", "app")}
"""``check`` makes the connections that the Celery application would make."""


def test_no_module_imports_in_a_circle() -> None:
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " imports ".join((*path[path.index(module) :], module))
        if module not in done:
            for target in sorted(imported_at_once(module)):
                visit(target, (*path, module))
            done.add(module)

    for module in MODULES:
        visit(module, ())


def test_the_root_is_small_and_no_module_is_a_book() -> None:
    root = list((ROOT / "worker").glob("*.py"))
    assert len(root) <= MOST_AT_THE_ROOT
    lengths = {module: len(path.read_text("utf-8").splitlines()) for module, path in MODULES.items()}
    assert {module: lines for module, lines in lengths.items() if lines > LONGEST} == {}
