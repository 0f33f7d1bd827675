// What JupyterLab and Notebook 7 load: the language rhai for cells and files, the type of file with its icon, cells of Python
// notebooks that begin with `%%convscope`, and the log of progress.
import { rhai } from "./rhai.js";

const MIME = "text/x-rhai";
// Seconds between two lines of the log about the same work.
const PAUSE = 5;

// The plugins, from the modules that JupyterLab shares; `notebook` and `logconsole` may be absent.
export function plugins({ codemirror, language, components, notebook, logconsole }, svg) {
  const colours = {
    id: "convscope:rhai",
    description: "Colours, indentation and the type of file for rhai, the script language of convscope",
    autoStart: true,
    requires: [codemirror.IEditorLanguageRegistry],
    activate(app, languages) {
      if (!languages.findByName("rhai")) {
        const support = new language.LanguageSupport(language.StreamLanguage.define(rhai));
        languages.addLanguage({ name: "rhai", displayName: "Rhai", mime: MIME, extensions: ["rhai"], support });
      }
      app.docRegistry.addFileType({
        name: "rhai",
        displayName: "Rhai Script",
        extensions: [".rhai"],
        mimeTypes: [MIME],
        icon: new components.LabIcon({ name: "convscope:rhai", svgstr: svg })
      });
    }
  };
  if (!notebook) {
    return [colours];
  }
  const magic = {
    id: "convscope:magic",
    description: "Colours cells of Python notebooks that begin with %%convscope",
    autoStart: true,
    requires: [notebook.INotebookTracker],
    activate(app, tracker) {
      tracker.widgetAdded.connect((_, panel) => panel.context.ready.then(() => followCells(panel.content)));
    }
  };
  if (!logconsole) {
    return [colours, magic];
  }
  const log = {
    id: "convscope:log",
    description: "Writes the progress of long work into the log console",
    autoStart: true,
    requires: [notebook.INotebookTracker],
    // Early versions of Notebook 7 have no log.
    optional: [logconsole.ILoggerRegistry],
    activate(app, tracker, loggers) {
      if (loggers) {
        tracker.widgetAdded.connect((_, panel) => followProgress(panel, loggers));
      }
    }
  };
  return [colours, magic, log];
}

function followCells(content) {
  const follow = cell => {
    if (cell.type !== "code") {
      return;
    }
    const update = () => {
      const own = /^%%convscope\b/.test(cell.sharedModel.getSource());
      const back = cell.mimeType === MIME ? content.codeMimetype : cell.mimeType;
      const wanted = own ? MIME : back;
      if (cell.mimeType !== wanted) {
        cell.mimeType = wanted;
      }
    };
    cell.contentChanged.connect(update);
    // JupyterLab sets the language of all cells when the kernel has said its own.
    cell.mimeTypeChanged.connect(update);
    update();
  };
  const cells = content.model.cells;
  for (let i = 0; i < cells.length; i++) {
    follow(cells.get(i));
  }
  cells.changed.connect((_, change) => change.type === "add" && change.newValues.forEach(follow));
}

// The bars of cells go when the cells end; the log keeps when work began, how far it was, and how long it took.
function followProgress(panel, loggers) {
  const works = new Map();
  panel.sessionContext.iopubMessage.connect((_, message) => {
    const { data, transient } = message.content;
    const id = transient && transient.display_id;
    if (message.header.msg_type !== "update_display_data" || !id || panel.content.codeMimetype !== MIME) {
      return;
    }
    const write = text => loggers.getLogger(panel.context.path).log({ type: "text", level: "info", data: text });
    const now = Date.now() / 1000;
    const text = data["text/plain"];
    const work = works.get(id);
    if (!text && work) {
      works.delete(id);
      write(`${work.label}: ${(now - work.begun).toFixed(1)} s`);
    } else if (text && !data["image/png"] && (!work || now - work.last > PAUSE)) {
      // "label [###...] 3 of 12, 9 s left", a line for each loop, the outermost first.
      works.set(id, { label: text.split(" [")[0], begun: work ? work.begun : now, last: now });
      write(text.replace(/ \[[#.]*\] /g, ": "));
    }
  });
}
