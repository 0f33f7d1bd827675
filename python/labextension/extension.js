// What JupyterLab and Notebook 7 load: the language rhai for cells and files, and the type of file with its icon.
import { rhai } from "./rhai.js";

const MIME = "text/x-rhai";

// The plugin, from the modules that JupyterLab shares.
export function plugin({ codemirror, language, components }, svg) {
  return {
    id: "convscope:rhai",
    description: "Colours and indentation for rhai, the script language of convscope",
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
}
