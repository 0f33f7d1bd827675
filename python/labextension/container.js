// The container that JupyterLab asks for an extension (module federation, as webpack makes it). It is written by hand: the
// extension is small, and what it uses comes from JupyterLab itself, so there is nothing to bundle and no Node to install.
import { plugins } from "./extension.js";
import svg from "./icon.svg";

let scope = {};

// A module that JupyterLab shares, in the version it runs; nothing where it shares none of that name.
async function shared(name) {
  const versions = Object.values(scope[name] || {});
  const found = versions.find(version => version.loaded) || versions[0];
  return found && (await found.get())();
}

const container = {
  init(given) {
    scope = given;
  },
  async get(name) {
    if (name !== "./extension") {
      throw new Error(`convscope: there is no module ${name}`);
    }
    const modules = {
      codemirror: await shared("@jupyterlab/codemirror"),
      language: await shared("@codemirror/language"),
      components: await shared("@jupyterlab/ui-components"),
      notebook: await shared("@jupyterlab/notebook"),
      logconsole: await shared("@jupyterlab/logconsole")
    };
    return () => ({ __esModule: true, default: plugins(modules, svg) });
  }
};

window._JUPYTERLAB = window._JUPYTERLAB || {};
window._JUPYTERLAB.convscope = container;
