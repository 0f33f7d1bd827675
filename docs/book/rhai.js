// Tables of sentences are marked, with each cell's column, for narrow screens (book.css). And colours for rhai, which the highlighter
// of mdBook does not know: words, numbers, comments, texts with `${ }`.
(function () {
    document.querySelectorAll(".content table").forEach(function (table) {
        var columns = Array.from(table.querySelectorAll("thead th"), function (cell) { return cell.textContent; });
        var cells = Array.from(table.querySelectorAll("tbody td"));
        if (!columns.some(Boolean) || !cells.some(function (cell) { return cell.textContent.length > 36; })) return;
        table.classList.add("sentences");
        cells.forEach(function (cell) { cell.dataset.column = columns[cell.cellIndex]; });
    });
})();
(function () {
    if (typeof hljs === "undefined") return;
    hljs.registerLanguage("rhai", function (hljs) {
        var inserted = { className: "subst", begin: /\$\{/, end: /\}/, keywords: "true false", contains: [] };
        return {
            name: "rhai",
            keywords: {
                keyword: "let const if else switch while loop for in do until break continue return throw try catch fn private import export as this",
                literal: "true false",
            },
            contains: [
                hljs.COMMENT("//", "$"),
                hljs.COMMENT("/\\*", "\\*/", { contains: ["self"] }),
                hljs.QUOTE_STRING_MODE,
                { className: "string", begin: /`/, end: /`/, contains: [inserted] },
                { className: "number", begin: /\b\d[\d_]*(\.\d+)?(e[+-]?\d+)?\b/ },
                { className: "title", begin: /\b[a-z_][a-z0-9_]*(?=\()/ },
            ],
        };
    });
    document.querySelectorAll("code.language-rhai").forEach(function (block) {
        var coloured = hljs.highlight("rhai", block.textContent);
        block.innerHTML = coloured.value;
        block.classList.add("hljs");
    });
})();
