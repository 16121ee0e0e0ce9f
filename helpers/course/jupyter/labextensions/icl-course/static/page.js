// A JupyterLab extension without a build step: what a bundler would write around a plugin is the last two lines.
(() => {
  const here = document.currentScript.src;
  const narrow = window.matchMedia("(max-width: 760px)"); // a phone, or large letters

  function style() {
    const sheet = document.createElement("link");
    sheet.rel = "stylesheet";
    sheet.href = new URL("page.css", here).href;
    document.head.append(sheet);
  }

  // A layout that the reader left behind is theirs; but beside the contents a narrow page has no room for the text.
  async function arrange(app) {
    const fold = () => narrow.matches && app.shell.collapseLeft();
    await app.restored; // by then the file browser has come up
    const { fresh } = await app.shell.restored;
    if (fresh) await app.commands.execute("toc:show-panel");
    fold();
    narrow.addEventListener("change", fold);
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
