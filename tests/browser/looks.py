"""What can be wrong with a page as it is seen, found by scripts in the page itself."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

CONTENT = {  # ours, not JupyterLab's
    "include": [[".jp-Notebook .jp-RenderedMarkdown"], [".jp-Notebook .jp-OutputArea-output"]],
    "exclude": [[".jp-InternalAnchorLink"]],
}
RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}}
CONTRAST = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
EXCEPTIONS = {  # rule: why what it finds is no fault
    "scrollable-region-focusable": "wide formulas and tables: browsers let the keyboard reach what scrolls",
}

FAULTS = """cells => cells.flatMap((cell, place) => {
  const all = selector => [...cell.querySelectorAll(selector)], faults = {
    'an error or stderr': all('[data-mime-type$="jupyter.error"], [data-mime-type$="jupyter.stderr"]').length,
    'an image without alt': all('img').some(x => /^(|image|no description.*)$/i.test(x.alt.trim())),
    'an image that is not seen': all('img').some(x => x.checkVisibility() && !(x.naturalWidth && x.offsetWidth)),
    'maths that is not rendered': all('.jp-RenderedMarkdown').some(x => x.innerText.includes('$$')),
    'a widget that is not there': /model not found|Error displaying widget/.test(cell.innerText),
  };
  return Object.keys(faults).filter(name => faults[name]).map(name => `cell ${place}: ${name}`);
})"""
CUT = """cells => cells.flatMap((cell, place) => {
  const room = Math.min(cell.getBoundingClientRect().right, innerWidth) + 1;
  const whole = '.jp-RenderedMarkdown, .jp-OutputArea-output, .jp-Cell'; // that these scroll is what must not be
  const itself = x => /auto|scroll/.test(getComputedStyle(x).overflowX);
  const scrolls = x => !x.matches(whole) && (itself(x) || scrolls(x.parentElement));
  const unseen = 'mjx-assistive-mml';
  const cut = [...cell.querySelectorAll('.jp-RenderedMarkdown *, .jp-OutputArea-output *')].find(x =>
    x.getBoundingClientRect().right > room && x.checkVisibility() && !x.closest(unseen) && !scrolls(x));
  return cut ? [`cell ${place}: ${cut.tagName} ${cut.className} ${cut.textContent.slice(0, 60)}`] : [];
})"""
TINY = """cells => cells.flatMap((cell, place) => [...cell.querySelectorAll('img[width]')]
  .filter(x => x.checkVisibility() && x.offsetWidth < 0.6 * x.getAttribute('width'))
  .map(x => `cell ${place}: ${x.offsetWidth} of ${x.getAttribute('width')} pixels`))"""
SIDEWAYS = """() => ['html', '.jp-Notebook', '.jp-WindowedPanel-outer', '.jp-WindowedPanel-viewport']
  .flatMap(name => [...document.querySelectorAll(name)].map(x => [name, x.scrollWidth - x.clientWidth]))
  .filter(([name, extra]) => extra > 1)"""


def accessible(page: Page, rules: dict) -> list[str]:
    """What axe-core finds in the notebook's own content, as "rule: element: fault", without the exceptions."""
    page.add_style_tag(content="body { height: 100vh !important }")  # it has none: axe would see no text in it
    response = Axe().run(page, context=CONTENT, options=rules).response
    assert "color-contrast" not in {rule["id"] for rule in response["inapplicable"]}, "axe saw no text"
    return [
        f"{rule['id']}: {node['html'][:150]}: {' '.join(reason['message'] for reason in node['any'][:1])[:150]}"
        for rule in response["violations"]
        if rule["id"] not in EXCEPTIONS
        for node in rule["nodes"]
    ]
