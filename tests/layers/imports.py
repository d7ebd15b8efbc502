"""The graph of imports between the files of src/: no file may need itself by way of others, and no room may look into another
that it must not know.

What counts: a path that begins with crate, self, super, the crate's name or a child module, in a `use` or in the code, goes
from its file to the file that defines what it names; a re-export is followed to where the item is defined. What does not:
`mod child;` and `pub use child::Item` of a parent that does nothing else with the item, since they only say where things are;
an `impl` for another file's type, whose methods are called without an import; for circles, also tests, which may look at
everything.
"""

import re
import sys
from pathlib import Path

CRATE = "marketing_automation"
# Room: what it must not know, rooms and crates.
WALLS = {
    "mail": ("program", "smtp", "delivery", "extension", "mailer", "proxy", "pgrx", "tokio", "tokio_postgres", "axum"),
    "smtp": ("program", "delivery", "extension", "mailer", "proxy", "pgrx", "tokio_postgres", "axum"),
    "webhook": ("program", "mail", "smtp", "tracking", "delivery", "extension", "mailer", "proxy", "pgrx", "tokio_postgres", "axum"),
    "report": ("program", "smtp", "tracking", "delivery", "extension", "mailer", "proxy", "pgrx", "tokio", "tokio_postgres", "axum"),
    "secret_file": ("program", "mail", "smtp", "delivery", "extension", "mailer", "proxy", "pgrx", "tokio", "tokio_postgres", "axum"),
    "tracking": ("program", "mail", "smtp", "delivery", "extension", "mailer", "proxy", "pgrx", "tokio", "tokio_postgres", "axum"),
    "delivery": ("program", "extension", "mailer", "proxy", "pgrx", "libc", "tokio_postgres", "axum"),
    "mailer": ("extension", "proxy", "pgrx", "libc"),
    "program": ("mail", "smtp", "tracking", "delivery", "extension", "mailer", "proxy", "pgrx", "tokio_postgres"),
    "proxy": ("smtp", "delivery", "extension", "mailer", "pgrx"),
    "extension": ("program", "mailer", "proxy", "tokio_postgres", "axum"),
    "extension::worker": ("extension::functions",),
    "extension::settings": ("extension::functions", "extension::worker"),
}

# Comments, strings, and who may see an item.
NOT_CODE = re.compile(r"""//[^\n]*|/\*.*?\*/|\(in [\w:]+\)|\bb?r(\#*)".*?"\1|\b[bc]?"(?:\\.|[^"\\])*"|"(?:\\.|[^"\\])*"|b?'(?:\\[^']+|[^\\'])'""", re.S)
USE = re.compile(r"(pub(?:\([^)]*\))?\s+)?\buse\s+([^;]+);")
PATH = re.compile(r"(?<![\w:])(\w+)((?:::\w+)+)")
INLINE = re.compile(r"(#\[cfg\(test\)\]\s*)?(?:pub(?:\([^)]*\))?\s+)?\bmod\s+(\w+)\s*\{")
CHILD = re.compile(r"\bmod\s+(\w+)\s*;")


class Source:
    """One file: its code without comments and strings, the modules in it, and the paths that it names."""

    def __init__(self, path, module):
        self.path = path
        self.module = module
        self.is_test = "tests" in module
        self.code = NOT_CODE.sub(lambda found: " " * len(found[0]), path.read_text())
        self.children = set(CHILD.findall(self.code))
        self.inline = [(found.start(), _end_of_block(self.code, found.end()), bool(found[1])) for found in INLINE.finditer(self.code)]
        self.exports = {}
        self.paths = []
        self._read()

    def _read(self):
        uses = []
        for found in USE.finditer(self.code):
            for path, name in _leaves(found[2]):
                if found[1]:
                    self.exports[name] = path
                uses.append((found.start(), path, name if found[1] else None))
        code = USE.sub(lambda found: " " * len(found[0]), self.code)
        for position, path, exported in uses:
            if not exported or re.search(rf"\b{exported}\b", code):
                self._add(position, path)
        for found in PATH.finditer(code):
            self._add(found.start(), (found[1], *found[2].split("::")[1:]))

    def _add(self, position, path):
        enclosing = [test for start, end, test in self.inline if start < position < end]
        if absolute := self.absolute(path, len(enclosing)):
            self.paths.append((absolute, self.is_test or any(enclosing)))

    def absolute(self, path, depth=0):
        """The path from the crate's root; of another crate, its name alone behind "::"."""
        first, *rest = path
        if first in ("crate", CRATE) and not (first == CRATE and depth == 0 and CRATE in self.children):
            return tuple(rest)
        if first in self.children and depth == 0:
            return (*self.module, *path)
        if first == "self":
            return (*self.module, *rest)
        if first != "super":
            return ("::", first)
        ups = next((count for count, name in enumerate(path) if name != "super"), len(path))
        # Modules that are written out in the file are the file.
        base = self.module if ups <= depth else self.module[: len(self.module) - (ups - depth)]
        return (*base, *path[ups:])


def _end_of_block(code, start):
    depth = 1
    for position in range(start, len(code)):
        depth += {"{": 1, "}": -1}.get(code[position], 0)
        if depth == 0:
            return position
    return len(code)


def _leaves(tree, prefix=()):
    """The paths of a `use` tree, each with the name that it gives to its item."""
    tree = tree.strip()
    head, brace, body = tree.partition("{")
    steps = tuple(step.strip() for step in head.split("::") if step.strip())
    if not brace:
        *path, last = steps
        last, _, alias = last.partition(" as ")
        whole = (*prefix, *path) if last in ("self", "*") and (prefix or path) else (*prefix, *path, last.strip())
        return [(whole, alias.strip() or whole[-1])]
    depth, start, parts = 0, 0, []
    body = body.rstrip().removesuffix("}")
    for position, character in enumerate(body + ","):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append(body[start:position])
            start = position + 1
    return [leaf for part in parts if part.strip() for leaf in _leaves(part, (*prefix, *steps))]


def read(root):
    """The files by their modules."""
    sources = {}
    for path in sorted(root.rglob("*.rs")):
        module = path.relative_to(root).with_suffix("").parts
        module = () if module == ("lib",) else module
        sources[module] = Source(path, module)
    return sources


def defined_in(sources, path, seen=()):
    """The module of the file that defines what a path names; None: no file of ours."""
    module = path
    while module not in sources and module:
        module = module[:-1]
    rest = path[len(module) :]
    if rest and (exported := sources[module].exports.get(rest[0])) and path not in seen:
        return defined_in(sources, (*(sources[module].absolute(exported)), *rest[1:]), (*seen, path))
    return module


def graph(sources):
    """Which file needs which others, tests left out."""
    edges = {}
    for module, source in sources.items():
        if not source.is_test:
            found = {defined_in(sources, path) for path, in_test in source.paths if not in_test and path[:1] != ("::",)}
            edges[module] = sorted(found - {module, ()})
    return edges


def circles(edges):
    """One circle, as the list of its files, for each group of files that need each other."""
    found, done = [], set()

    def visit(module, trail):
        if module in trail:
            found.append(trail[trail.index(module) :] + [module])
        elif module not in done:
            for other in edges.get(module, ()):
                visit(other, [*trail, module])
            done.add(module)

    for module in edges:
        visit(module, [])
    return found


def broken_walls(sources):
    """What rooms know and must not."""
    for room, forbidden in WALLS.items():
        inside = tuple(room.split("::"))
        if inside not in sources:
            yield f"{room} has walls and no file"
        for module, source in sources.items():
            if module[: len(inside)] != inside:
                continue
            for path, _ in source.paths:
                name = path[1] if path[:1] == ("::",) else "::".join(path)
                if other := next((other for other in forbidden if (name + "::").startswith(other + "::")), None):
                    yield f"{source.path}: {room} must not know {other}: {name}"


def main(root):
    sources = read(Path(root))
    faults = sorted(set(broken_walls(sources)))
    for circle in circles(graph(sources)):
        faults.append("files need each other in a circle: " + " -> ".join("::".join(module) for module in circle))
    print("\n".join(faults) or f"{len(sources)} files, no circle, all walls stand")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
