"""Makes mutants of a module: its tree with one small change each.

The operators: a comparison, `and`, `or` or arithmetic becomes its neighbor; a condition its contrary; a number one
more; a word or pattern gets an `x` in front; a truth value flips; a call for its effect, a raise, an augmented
assignment or a filter of a comprehension goes; `break` and `continue` change places; a function returns nothing.
Annotations, decorators, docstrings and prose stay as they are: how a message is worded is not tried here.
"""

from __future__ import annotations

import ast
import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_NEIGHBORS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
}

_SKIPPED_FIELDS = {"annotation", "returns", "type_comment", "type_params", "ctx", "format_spec", "decorator_list"}

_Path = tuple[tuple[str, int | None], ...]
"""The way from the root of a tree to a node: fields, and positions in their lists."""


@dataclass(frozen=True)
class Function:
    """The lines of a function or method that is no part of another, with its decorators."""

    first: int
    last: int


@dataclass(frozen=True)
class Mutant:
    """One change.

    Attributes:
        function: The function that it is in; None if it acts when the module is imported.
        key: Where and how, in words that stay when lines move.
    """

    key: str
    line: int
    function: Function | None
    path: _Path
    change: ast.AST

    def tree(self, source: str) -> ast.Module:
        """Return the whole tree with the change."""
        root = ast.parse(source)
        node: ast.AST = root
        for field, position in self.path[:-1]:
            node = _child(node, field, position)
        field, position = self.path[-1]
        old = _child(node, field, position)
        if hasattr(old, "lineno"):
            ast.copy_location(self.change, old)
        if position is None:
            setattr(node, field, self.change)
        else:
            getattr(node, field)[position] = self.change
        return ast.fix_missing_locations(root)


def mutants(source: str) -> list[Mutant]:
    """Return all mutants of a module, in its order; alike ones in a function are told apart by a number."""
    seen: dict[str, int] = {}
    found = []
    for path, node, function, place, statement in _nodes(ast.parse(source)):
        for change in _changes(node):
            key = f"{place}: {_short(node, statement)} -> {_short(change, statement)}"
            seen[key] = seen.get(key, 0) + 1
            key = key if seen[key] == 1 else f"{key} #{seen[key]}"
            found.append(Mutant(key, getattr(node, "lineno", statement.lineno), function, path, change))
    return found


def _short(node: ast.AST, statement: ast.stmt) -> str:
    if isinstance(node, ast.operator | ast.boolop | ast.cmpop):
        return f"{type(node).__name__} in `{_short(statement, statement)}`"
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 90 else f"{text[:90]}…"


def _child(node: ast.AST, field: str, position: int | None) -> ast.AST:
    value = getattr(node, field)
    child: ast.AST = value if position is None else value[position]
    return child


def _nodes(root: ast.Module) -> Iterator[tuple[_Path, ast.AST, Function | None, str, ast.stmt]]:
    """Yield each node that may change, with its function, the name of its place, and its statement."""

    def walk(
        node: ast.AST, path: _Path, function: Function | None, place: str, statement: ast.stmt
    ) -> Iterator[tuple[_Path, ast.AST, Function | None, str, ast.stmt]]:
        yield path, node, function, place, statement
        for field, position, child in _children(node):
            below = (*path, (field, position))
            inner, name = function, place
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and field == "body":
                name = node.name if place == "module" else f"{place}.{node.name}"
                if function is None and not isinstance(node, ast.ClassDef):
                    first = min(each.lineno for each in (node, *node.decorator_list))
                    inner = Function(first, node.end_lineno or first)
            yield from walk(child, below, inner, name, child if isinstance(child, ast.stmt) else statement)

    for position, each in enumerate(root.body):
        if not _stays(each):
            yield from walk(each, (("body", position),), None, "module", each)


def _children(node: ast.AST) -> Iterator[tuple[str, int | None, ast.AST]]:
    for field, value in ast.iter_fields(node):
        if field in _SKIPPED_FIELDS:
            continue
        if isinstance(value, list):
            for position, each in enumerate(value):
                if isinstance(each, ast.AST) and not _stays(each) and not _is_text_for_people(node, each):
                    yield field, position, each
        elif isinstance(value, ast.AST) and not _stays(value):
            yield field, None, value


def _is_text_for_people(node: ast.AST, part: ast.AST) -> bool:
    """True for what stands between the values in a sentence."""
    if not isinstance(node, ast.JoinedStr) or not isinstance(part, ast.Constant):
        return False
    return any(isinstance(each, ast.Constant) and " " in str(each.value) for each in node.values)


def _stays(node: ast.AST) -> bool:
    match node:
        case ast.Import() | ast.ImportFrom() | ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.Expr(value=ast.Constant()):  # a docstring
            return True
        case ast.Assign(targets=[ast.Name(id="__all__")]):
            return True
        case ast.AnnAssign(value=None):
            return True
    return False


def _changes(node: ast.AST) -> Iterator[ast.AST]:  # noqa: C901, PLR0912 - a table of operators
    match node:
        case ast.Compare(left=left, ops=ops, comparators=others):
            for n, each in enumerate(ops):
                yield ast.Compare(left, [*ops[:n], _neighbor(each), *ops[n + 1 :]], others)
        case ast.BoolOp(op=op, values=values):
            yield ast.BoolOp(_neighbor(op), values)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _NEIGHBORS:
            yield ast.BinOp(left, _neighbor(op), right)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.Constant(value=bool() as truth):
            yield ast.Constant(not truth)
        case ast.Constant(value=int() as number):
            yield ast.Constant(number + 1)
        case ast.Constant(value=str() as text) if " " not in text.strip():
            yield ast.Constant("x" + text)
        case ast.Constant(value=bytes() as text) if b" " not in text.strip():
            yield ast.Constant(b"x" + text)
        case ast.Continue():
            yield ast.Break()
        case ast.Break():
            yield ast.Continue()
        case ast.Return(value=ast.AST() as value) if not (isinstance(value, ast.Constant) and value.value is None):
            yield ast.Return(ast.Constant(None))
        case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.Raise() | ast.Delete():
            yield ast.Pass()
    match node:
        case ast.If() | ast.While() | ast.IfExp() if isinstance(
            node.test, ast.Name | ast.Attribute | ast.Call | ast.NamedExpr
        ):
            changed = copy.copy(node)
            changed.test = ast.UnaryOp(ast.Not(), node.test)
            yield changed
        case ast.comprehension(ifs=[_, *others]):
            yield ast.comprehension(node.target, node.iter, others, node.is_async)


def _neighbor(node: ast.AST) -> Any:  # noqa: ANN401 - of the node's own family
    return _NEIGHBORS[type(node)]()
