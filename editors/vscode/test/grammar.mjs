// The grammar over every script of the project, by the engine that VS Code has: every line is read to its end, brackets and
// texts that are opened are closed, and chosen places have the scopes that they should.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const require = createRequire(import.meta.url);
const oniguruma = require("vscode-oniguruma");
const textmate = require("vscode-textmate");
const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "..", "..", "..");

await oniguruma.loadWASM(readFileSync(require.resolve("vscode-oniguruma/release/onig.wasm")).buffer);
const file = join(here, "..", "syntaxes", "rhai.tmLanguage.json");
const registry = new textmate.Registry({
  onigLib: Promise.resolve({
    createOnigScanner: (patterns) => new oniguruma.OnigScanner(patterns),
    createOnigString: (text) => new oniguruma.OnigString(text),
  }),
  loadGrammar: async () => textmate.parseRawGrammar(readFileSync(file, "utf8"), file),
});
const grammar = await registry.loadGrammar("source.rhai");

function tokens(source) {
  let stack = textmate.INITIAL;
  const found = [];
  for (const line of source.split("\n")) {
    const read = grammar.tokenizeLine(line, stack);
    assert.equal(read.stoppedEarly, false);
    found.push(...read.tokens.map((t) => ({ text: line.slice(t.startIndex, t.endIndex), scopes: t.scopes.join(" ") })));
    stack = read.ruleStack;
  }
  return { found, depth: stack.depth };
}

let scripts = 0;
for (const folder of ["scripts", "scripts/canon", "docs", "tests/lang/ok"]) {
  for (const name of readdirSync(join(root, folder)).filter((n) => n.endsWith(".rhai"))) {
    const { found, depth } = tokens(readFileSync(join(root, folder, name), "utf8"));
    assert.equal(depth, 1, `${folder}/${name} leaves something open`);
    assert.ok(found.some((t) => t.scopes.includes("entity.name.function")), name);
    scripts += 1;
  }
}
assert.ok(scripts > 60, `${scripts} scripts`);

const chosen = [
  ["let s = `a ${x + `${y}`} b`;", "y", "string.quoted.other.template.rhai meta.interpolation.rhai"],
  ["let s = `a ${#{ k: 1 }} b`; z", "z", "source.rhai variable.other.rhai"],
  ["/* a /* b */ c */ d", "d", "source.rhai variable.other.rhai"],
  ["all.map(|row, i| row + i)", "row", "variable.parameter.rhai"],
  ["all.map(|a| a || b)", "b", "source.rhai variable.other.rhai"],
  ["occlusion(#{ patch: 8 })", "patch", "variable.other.key.rhai"],
  ["/// what it does", "/// what it does", "comment.line.documentation.rhai"],
  ["let r = #\"raw \" text\"#; e", "e", "source.rhai variable.other.rhai"],
  ["a[0..10]", "10", "constant.numeric.rhai"],
  ["fn twice(n) {}", "twice", "entity.name.function.rhai"],
  ["let c = '\\''; d", "d", "source.rhai variable.other.rhai"],
];
for (const [source, text, scope] of chosen) {
  const { found, depth } = tokens(source);
  assert.equal(depth, 1, source);
  const token = found.find((t) => t.text === text);
  assert.ok(token?.scopes.includes(scope), `${source}: ${text} has ${token?.scopes}`);
}
console.log(`${scripts} scripts, ${chosen.length} chosen places`);
