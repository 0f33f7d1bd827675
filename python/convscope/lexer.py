"""Syntax highlighting of rhai for Pygments: nbconvert to HTML and LaTeX, Sphinx, MkDocs, consoles.

The keywords are those of the Rhai book; `labextension/rhai.js` is the same grammar for CodeMirror.
"""

from pygments.lexer import RegexLexer, bygroups, default, include, using, words
from pygments.lexers.rust import RustLexer
from pygments.token import (
    Comment,
    Keyword,
    Name,
    Number,
    Operator,
    Punctuation,
    String,
    Text,
    Whitespace,
)

NAME = r"[A-Za-z_]\w*"


class RhaiLexer(RegexLexer):
    """For rhai, the script language of convscope, and for notebook cells: ``%%rust`` begins one in Rust."""

    name = "Rhai"
    aliases = ["rhai"]
    filenames = ["*.rhai"]
    mimetypes = ["text/x-rhai"]
    url = "https://rhai.rs/book"

    tokens = {
        "root": [
            (r"(?s)\A(%%rust[^\n]*)(\n.*)", bygroups(Comment.Preproc, using(RustLexer))),
            (r"\A%\w+[^\n]*", Comment.Preproc),
            (r"\A#![^\n]*", Comment.Hashbang),
            include("code"),
            # Not the end of anything.
            (r"\}", Punctuation),
        ],
        "code": [
            (r"\s+", Whitespace),
            (r"//[/!][^\n]*", String.Doc),
            (r"//[^\n]*", Comment.Single),
            (r"/\*\*(?![*/])", String.Doc, "doc"),
            (r"/\*", Comment.Multiline, "comment"),
            (r'(#+)"(?s:.*?)"\1', String),
            (r'"', String.Double, "string"),
            (r"`", String.Backtick, "template"),
            (r"'(?:\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)|[^'\\\n])'", String.Char),
            (r"0x[0-9a-fA-F_]+", Number.Hex),
            (r"0o[0-7_]+", Number.Oct),
            (r"0b[01_]+", Number.Bin),
            # `1..5` is a range, `1.abs()` a call.
            (r"\d[\d_]*(?:\.(?!\.|[A-Za-z_])[\d_]*)?[eE][+-]?\d[\d_]*", Number.Float),
            (r"\d[\d_]*\.(?![.A-Za-z_])[\d_]*", Number.Float),
            (r"\d[\d_]*", Number.Integer),
            (rf"(fn)(\s+)({NAME})", bygroups(Keyword.Declaration, Whitespace, Name.Function)),
            (rf"(let|const)(\s+)({NAME})", bygroups(Keyword.Declaration, Whitespace, Name.Variable)),
            (words(("let", "const", "fn", "private"), prefix=r"(?<!\.)\b", suffix=r"\b"), Keyword.Declaration),
            (words(("import", "export", "as", "global"), prefix=r"(?<!\.)\b", suffix=r"\b"), Keyword.Namespace),
            (words(("true", "false"), suffix=r"\b"), Keyword.Constant),
            (r"this\b", Name.Builtin.Pseudo),
            (
                words(
                    ("if", "else", "switch", "do", "while", "until", "loop", "for", "in", "continue", "break", "return")
                    + ("throw", "try", "catch"),
                    prefix=r"(?<!\.)\b",
                    suffix=r"\b",
                ),
                Keyword,
            ),
            (rf"({NAME})(\s*)(::)", bygroups(Name.Namespace, Whitespace, Operator)),
            # A setting in `#{ patch: 16 }`; `"patch": 16` is coloured as a text.
            (rf"({NAME})(\s*)(:)(?!:)", bygroups(Name.Attribute, Whitespace, Punctuation)),
            (rf"(\??\.)({NAME})(?=\s*[(!])", bygroups(Operator, Name.Function)),
            (rf"(\??\.)({NAME})", bygroups(Operator, Name.Attribute)),
            (rf"{NAME}!?(?=\s*\()", Name.Function),
            (r"[A-Z][A-Z\d_]+\b", Name.Constant),
            (NAME, Name),
            (r"#\{", Punctuation, "braces"),
            (r"\{", Punctuation, "braces"),
            (r"\.\.=?|=>|->|::|\?\?=?|\?\.|\?\[|\*\*=?|<<=?|>>=?|&&|\|\||[-+*/%&|^=!<>]=?|\.", Operator),
            (r"[\[\](),;:]", Punctuation),
        ],
        "braces": [
            (r"\}", Punctuation, "#pop"),
            include("code"),
        ],
        "comment": [
            (r"/\*", Comment.Multiline, "#push"),
            (r"\*/", Comment.Multiline, "#pop"),
            (r"[^/*]+|[/*]", Comment.Multiline),
        ],
        "doc": [
            (r"/\*", String.Doc, "#push"),
            (r"\*/", String.Doc, "#pop"),
            (r"[^/*]+|[/*]", String.Doc),
        ],
        "string": [
            (r'"', String.Double, "#pop"),
            (r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|\r?\n|.)", String.Escape),
            (r'[^"\\\n]+', String.Double),
            # A text ends with its line, closed or not.
            (r"(?=\n)", Text, "#pop"),
            default("#pop"),
        ],
        "template": [
            (r"``", String.Escape),
            (r"`", String.Backtick, "#pop"),
            (r"\$\{", String.Interpol, "interpolated"),
            (r"[^`$]+|\$", String.Backtick),
        ],
        "interpolated": [
            (r"\}", String.Interpol, "#pop"),
            include("code"),
        ],
    }
