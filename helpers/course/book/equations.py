"""A Sphinx extension: an equation with a tag is a place, and "(eq. 2.1)" in prose a link to it, from any page."""

import re
from collections.abc import Iterator

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

from helpers.course.equations import TAG

REFERENCE = re.compile(r"\(eq\. (\d\.\d+)\)")
NO_PROSE = (nodes.title, nodes.reference, nodes.literal, nodes.literal_block, nodes.raw, addnodes.pending_xref)


def place(number: str) -> str:
    """The name of an equation in addresses."""
    return f"eq-{number.replace('.', '-')}"


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("doctree-read", note_equations)
    app.connect("doctree-read", link_equations)
    return {"parallel_read_safe": True}


def note_equations(app: Sphinx, page: nodes.document) -> None:
    """Give every tagged formula of a page an address."""
    for formula in page.findall(nodes.math_block):
        if tag := TAG.search(formula.astext()):
            name = place(tag[1])
            formula["ids"].append(name)
            app.env.domains.standard_domain.note_hyperlink_target(name, app.env.current_document.docname, name)


def link_equations(app: Sphinx, page: nodes.document) -> None:
    """Turn what a page's prose says of equations into references, which Sphinx resolves when all pages are read."""
    for text in list(page.findall(nodes.Text)):
        if REFERENCE.search(text) and not _within(text, NO_PROSE):
            text.parent.replace(text, list(_parts(str(text), app.env.current_document.docname)))


def _within(node: nodes.Node, kinds: tuple[type[nodes.Node], ...]) -> bool:
    """Whether a node lies in one of these kinds."""
    while node is not None and not isinstance(node, kinds):
        node = node.parent
    return node is not None


def _parts(text: str, page: str) -> Iterator[nodes.Node]:
    """A text in pieces: prose as it is, mentions of equations as references."""
    end = 0
    for found in REFERENCE.finditer(text):
        yield nodes.Text(text[end : found.start()])
        yield addnodes.pending_xref(
            "",
            nodes.inline("", found[0]),
            refdomain="std",
            reftype="ref",
            reftarget=place(found[1]),
            refdoc=page,
            refexplicit=True,
            refwarn=True,
        )
        end = found.end()
    yield nodes.Text(text[end:])
