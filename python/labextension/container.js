// The container that JupyterLab asks for an extension (module federation, as webpack makes it). It is written by hand: the
// extension is small, and what it uses comes from JupyterLab itself, so there is nothing to bundle and no Node to install.
import { plugin } from "./extension.js";
import svg from "./icon.svg";

let scope = {};

// A module that JupyterLab shares, in the version it runs.
async function shared(name) {
  const versions = Object.values(scope[name] || {});
  const found = versions.find(version => version.loaded) || versions[0];
  if (!found) {
    throw new Error(`convscope: this JupyterLab does not share ${name}`);
  }
  const factory = await found.get();
  return factory();
}

const container = {
  init(given) {
    scope = given;
  },
  async get(name) {
    if (name !== "./extension") {
      throw new Error(`convscope: there is no module ${name}`);
    }
    const names = ["@jupyterlab/codemirror", "@codemirror/language", "@jupyterlab/ui-components"];
    const [codemirror, language, components] = await Promise.all(names.map(shared));
    return () => ({ __esModule: true, default: plugin({ codemirror, language, components }, svg) });
  }
};

window._JUPYTERLAB = window._JUPYTERLAB || {};
window._JUPYTERLAB.convscope = container;
