// The language rhai for CodeMirror 6, as a parser of lines (a StreamParser of @codemirror/language).
// What the words of rhai are is in its book; convscope/lexer.py says the same to Pygments.

const KEYWORDS = new Set(
  (
    "let const fn private import export as global if else switch do while until loop for in continue break return " +
    "throw try catch"
  ).split(" ")
);
const RUST = new Set(
  (
    "async await crate dyn enum extern impl match mod move mut pub ref self Self static struct super trait type union " +
    "unsafe use where"
  ).split(" ")
);
const NUMBER =
  /^(?:0x[\da-fA-F_]+|0o[0-7_]+|0b[01_]+|\d[\d_]*(?:\.(?![.A-Za-z_])[\d_]*)?(?:[eE][+-]?\d[\d_]*)?)/;
const ESCAPE = /^\\(?:x[\da-fA-F]{2}|u[\da-fA-F]{4}|U[\da-fA-F]{8}|.|$)/;
const OPERATOR = /^(?:\.\.=?|=>|->|::|\?\?=?|\?\.|\*\*=?|<<=?|>>=?|&&|\|\||[-+*/%&|^=!<>]=?|\?|\.)/;
const WORD = /^[A-Za-z_]\w*/;
const CLOSING = /^[}\])]/;

// What surrounds the place, innermost last: code with the brackets that are open in it, a text, a comment.
const code = () => ({ kind: "code", open: 0 });

export const rhai = {
  name: "rhai",
  startState: () => ({ within: [code()], first: true, rust: false, after: "" }),
  copyState: state => ({ ...state, within: state.within.map(w => ({ ...w })) }),
  token(stream, state) {
    const first = state.first;
    state.first = false;
    if (first && stream.match(/^(?:%%?\w+|#!).*/)) {
      state.rust = stream.current().startsWith("%%rust");
      return "meta";
    }
    const within = state.within[state.within.length - 1];
    return readers[within.kind](stream, state, within);
  },
  blankLine(state) {
    state.first = false;
  },
  indent(state, after, context) {
    if (state.within[state.within.length - 1].kind !== "code") {
      return null;
    }
    const open = state.within.reduce((sum, w) => sum + (w.open || 0), 0);
    return Math.max(0, open - (CLOSING.test(after) ? 1 : 0)) * context.unit;
  },
  languageData: {
    commentTokens: { line: "//", block: { open: "/*", close: "*/" } },
    closeBrackets: { brackets: ["(", "[", "{", '"', "`"] },
    indentOnInput: /^\s*[}\])]$/
  }
};

const readers = {
  code(stream, state, within) {
    if (stream.eatSpace()) {
      return null;
    }
    const after = state.after;
    state.after = "";
    if (stream.match("//")) {
      const doc = /[/!]/.test(stream.peek() || "");
      stream.skipToEnd();
      return doc ? "docComment" : "lineComment";
    }
    if (stream.match("/*")) {
      const doc = stream.match(/^\*(?![*/])/);
      return begin("comment", { depth: 1, name: doc ? "docComment" : "blockComment" }, stream, state);
    }
    const raw = stream.match(/^#+"/);
    if (raw) {
      return begin("raw", { end: '"' + raw[0].slice(0, -1) }, stream, state);
    }
    if (stream.eat('"')) {
      return begin("text", {}, stream, state);
    }
    if (!state.rust && stream.eat("`")) {
      return begin("template", {}, stream, state);
    }
    if (stream.match(/^'(?:\\(?:x[\da-fA-F]{2}|u[\da-fA-F]{4}|U[\da-fA-F]{8}|.)|[^'\\])'/)) {
      return "character";
    }
    if (stream.match(NUMBER)) {
      return "number";
    }
    const word = stream.match(WORD);
    if (word) {
      return named(word[0], stream, state, after);
    }
    if (stream.match("#{") || stream.eat("{")) {
      within.open += 1;
      return "brace";
    }
    if (stream.eat("}")) {
      if (within.open === 0 && state.within.length > 1) {
        state.within.pop(); // the end of `${ .. }`
        return "brace.special";
      }
      within.open = Math.max(0, within.open - 1);
      return "brace";
    }
    if (stream.eat(/[([]/)) {
      within.open += 1;
      return stream.current() === "(" ? "paren" : "squareBracket";
    }
    if (stream.eat(/[)\]]/)) {
      within.open = Math.max(0, within.open - 1);
      return stream.current() === ")" ? "paren" : "squareBracket";
    }
    if (stream.match(OPERATOR)) {
      const mark = stream.current();
      state.after = mark === "." || mark === "?." ? "." : "";
      return "operator";
    }
    stream.next();
    return "punctuation";
  },

  text(stream, state, within, begun) {
    if (!begun && stream.match(ESCAPE)) {
      // A backslash at the end of a line goes on in the next.
      return "string.special";
    }
    stream.match(/^[^"\\]+/);
    if (stream.eat('"') || stream.eol()) {
      state.within.pop();
    }
    return "string";
  },

  raw(stream, state, within) {
    const end = stream.string.indexOf(within.end, stream.pos);
    if (end < 0) {
      stream.skipToEnd();
    } else {
      stream.pos = end + within.end.length;
      state.within.pop();
    }
    return "string";
  },

  template(stream, state, within, begun) {
    if (!begun && stream.match("``")) {
      return "string.special";
    }
    if (!begun && stream.match("${")) {
      state.within.push(code());
      return "brace.special";
    }
    stream.match(/^(?:[^`$]|\$(?!\{))+/);
    if (!stream.match("``", false) && stream.eat("`")) {
      state.within.pop();
    }
    return "string";
  },

  comment(stream, state, within) {
    while (!stream.eol() && within.depth > 0) {
      if (stream.match("*/")) {
        within.depth -= 1;
      } else if (stream.match("/*")) {
        within.depth += 1;
      } else {
        stream.next();
      }
    }
    if (within.depth === 0) {
      state.within.pop();
    }
    return within.name;
  }
};

// Reads on inside of what has just begun; what began it is of the same colour.
function begin(kind, about, stream, state) {
  const within = { kind, ...about };
  state.within.push(within);
  return readers[kind](stream, state, within, true);
}

function named(word, stream, state, after) {
  if (after === ".") {
    return "propertyName";
  }
  if (word === "true" || word === "false") {
    return "bool";
  }
  if (word === "this") {
    return "self";
  }
  if (KEYWORDS.has(word) || (state.rust && RUST.has(word))) {
    state.after = word === "let" || word === "const" || word === "fn" ? "defined" : "";
    return "keyword";
  }
  if (after === "defined") {
    return "variableName.definition";
  }
  if (stream.match(/^\s*::/, false)) {
    return "namespace";
  }
  // A setting in `#{ patch: 16 }`.
  if (stream.match(/^\s*:/, false)) {
    return "attributeName";
  }
  if (stream.match(/^!?\s*\(/, false)) {
    return "variableName.standard";
  }
  return "variableName";
}
