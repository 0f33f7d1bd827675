// What CodeMirror's parser of rhai says of files: for each a text with a letter a character (s text, c comment, n number,
// k keyword). A line is read as @codemirror/language reads it. Usage: node tokens.mjs FILE...
import { readFileSync } from "node:fs";
import { rhai } from "../../python/labextension/rhai.js";

class Line {
  constructor(string) {
    Object.assign(this, { string, pos: 0, start: 0 });
  }
  eol = () => this.pos >= this.string.length;
  peek = () => this.string.charAt(this.pos) || undefined;
  next = () => (this.eol() ? undefined : this.string.charAt(this.pos++));
  eat = what => {
    const c = this.string.charAt(this.pos);
    const fits = typeof what === "string" ? c === what : c && what.test(c);
    return fits ? this.next() : undefined;
  };
  eatSpace = () => {
    const begun = this.pos;
    while (/[\s\u00a0]/.test(this.string.charAt(this.pos))) this.pos++;
    return this.pos > begun;
  };
  skipToEnd = () => (this.pos = this.string.length);
  match = (what, consume = true) => {
    const rest = this.string.slice(this.pos);
    const found = typeof what === "string" ? rest.startsWith(what) && [what] : rest.match(what);
    if (!found || found.index > 0) return null;
    if (consume) this.pos += found[0].length;
    return found;
  };
  current = () => this.string.slice(this.start, this.pos);
}

const LETTERS = { string: "s", character: "s", lineComment: "c", blockComment: "c", docComment: "c", number: "n", keyword: "k", bool: "k", meta: "c" };

function marks(text) {
  let state = rhai.startState();
  const lines = text.split("\n").map(string => {
    if (!string) {
      rhai.blankLine(state);
      return "";
    }
    const line = new Line(string);
    let out = "";
    while (!line.eol()) {
      line.start = line.pos;
      const name = rhai.token(line, state);
      if (line.pos === line.start) throw new Error(`no progress in ${string}`);
      out += (LETTERS[(name || "").split(".")[0]] || ".").repeat(line.pos - line.start);
      state = rhai.copyState(state);
    }
    return out;
  });
  return lines.join("\n");
}

console.log(JSON.stringify(process.argv.slice(2).map(file => marks(readFileSync(file, "utf8")))));
