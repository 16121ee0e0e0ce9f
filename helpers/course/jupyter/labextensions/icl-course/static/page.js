// A JupyterLab extension without a build step: what a bundler would write around a plugin is the last three lines.
(() => {
  const here = document.currentScript.src;
  const NARROW = "(max-width: 600px)"; // a phone: there the contents would take half of the page

  function style() {
    const sheet = document.createElement("link");
    sheet.rel = "stylesheet";
    sheet.href = new URL("page.css", here).href;
    document.head.append(sheet);
  }

  // Only where JupyterLab starts afresh: a layout that the reader left behind is theirs.
  async function arrange(app) {
    await app.restored; // by then the file browser has come up
    const { fresh } = await app.shell.restored;
    if (window.matchMedia(NARROW).matches) app.shell.collapseLeft();
    else if (fresh) app.commands.execute("toc:show-panel");
  }

  const plugin = {
    id: "icl-course:page",
    description: "The course's column and layout.",
    autoStart: true,
    activate: (app) => {
      style();
      arrange(app);
    },
  };
  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB["icl-course"] = { init: () => {}, get: async () => () => ({ __esModule: true, default: plugin }) };
})();
