"""Small changes to a function's source: the mistakes nobody thought of."""

import ast
import copy
import inspect
import itertools
import textwrap
from collections.abc import Callable, Iterator

SWAPS = {"tril": "triu", "triu": "tril", "cumsum": "cumprod", "softmax": "log_softmax"}
OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.MatMult: ast.Mult}
ORDERED = (ast.Sub, ast.Div, ast.MatMult, ast.Pow, ast.Mod)


def variants(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """What may stand in a node's place: operands, arguments swapped, terms dropped, off by one, another axis, sign."""
    said = ast.unparse(node)
    if isinstance(node, ast.BinOp):
        if isinstance(node.op, ORDERED):
            yield f"{said}: swapped", ast.BinOp(node.right, node.op, node.left)
        if type(node.op) in OPERATORS:
            other = OPERATORS[type(node.op)]()
            yield f"{said}: {type(other).__name__}", ast.BinOp(node.left, other, node.right)
        yield f"{said}: left only", node.left
        yield f"{said}: right only", node.right
    if isinstance(node, ast.UnaryOp) and not isinstance(node.operand, ast.Constant):
        yield f"{said}: without its sign", node.operand
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        for step in (-1, 1):
            yield f"{said} → {node.value + step}", ast.Constant(node.value + step)
    if isinstance(node, ast.Constant) and node.value == "-inf":
        yield "inf for −inf", ast.Constant("inf")
    if isinstance(node, ast.Attribute) and node.attr in SWAPS:
        yield f"{said} → {SWAPS[node.attr]}", ast.Attribute(node.value, SWAPS[node.attr], node.ctx)
    if isinstance(node, ast.Attribute) and node.attr == "mT":
        yield f"{said}: not transposed", node.value
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        yield f"{said}: dropped", node.func.value
    if isinstance(node, ast.Call) and not any(isinstance(x, ast.Starred) for x in node.args):
        for place, (first, second) in enumerate(itertools.pairwise(node.args)):
            args = [*node.args[:place], second, first, *node.args[place + 2 :]]
            yield f"{said}: arguments {place}, {place + 1} swapped", ast.Call(node.func, args, node.keywords)
    if isinstance(node, ast.IfExp):
        yield f"{said}: always", node.body
        yield f"{said}: never", node.orelse
    if isinstance(node, ast.Return):
        yield f"{said}: as float32", ast.parse(f"return ({ast.unparse(node.value)}).float()").body[0]
        yield f"{said}: forgotten", ast.Pass()


def mutants(function: Callable) -> Iterator[tuple[str, Callable]]:
    """Every function that one such change makes of this one, run where it was written."""
    for said, source in sources(function):
        namespace = dict(vars(inspect.getmodule(inspect.unwrap(function))))
        exec(compile(source, f"<{said}>", "exec"), namespace)
        yield said, namespace[inspect.unwrap(function).__name__]


def sources(function: Callable) -> Iterator[tuple[str, str]]:
    """What was changed, and the changed function as text."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    definition = tree.body[0]
    definition.decorator_list = []
    for argument in definition.args.args:
        argument.annotation = None
    definition.returns = None
    definition.args.defaults = [ast.Constant(getattr(x, "value", None)) for x in definition.args.defaults]
    body = ast.Module(body_of(definition), [])
    count = sum(1 for _ in ast.walk(body))
    for place in range(count):
        original = list(ast.walk(body))[place]
        for number, (said, _) in enumerate(variants(original)):
            changed = copy.deepcopy(tree)
            target = list(ast.walk(ast.Module(body_of(changed.body[0]), [])))[place]
            replacement = list(variants(target))[number][1]
            yield said, ast.unparse(ast.fix_missing_locations(Replace(target, replacement).visit(changed)))


def body_of(definition: ast.FunctionDef) -> list[ast.stmt]:
    """Without the docstring."""
    return definition.body[bool(ast.get_docstring(definition)) :]


class Replace(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self.new if node is self.old else self.generic_visit(node)
