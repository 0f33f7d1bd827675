// Starts `convscope lsp` and connects the editor to it.
"use strict";

const { workspace, window } = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

async function activate() {
  const command = workspace.getConfiguration("convscope").get("path", "convscope");
  const server = { command, args: ["lsp"] };
  const scripts = { documentSelector: [{ language: "rhai" }] };
  client = new LanguageClient("convscope", "convscope", server, scripts);
  try {
    await client.start();
  } catch (error) {
    client = undefined;
    window.showErrorMessage(
      `convscope: \`${command} lsp\` does not start (${error}). Install it with pip, or name the program in the setting convscope.path.`
    );
  }
}

async function deactivate() {
  await client?.stop();
}

module.exports = { activate, deactivate };
