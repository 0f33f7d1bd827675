// Tables of sentences and of options are marked, with each cell's column, for narrow screens (book.css). Names of options and arrows
// in code are marked, too: they are not broken at their hyphens; calls in tables break at dots and brackets. And colours for rhai,
// which the highlighter of mdBook does not know: words, numbers, comments, texts with `${ }`.
(function () {
    document.querySelectorAll(".content table").forEach(function (table) {
        var columns = Array.from(table.querySelectorAll("thead th"), function (cell) { return cell.textContent; });
        var cells = Array.from(table.querySelectorAll("tbody td"));
        var long = cells.some(function (cell) { return cell.textContent.length > 36; });
        if (!columns.some(Boolean) || !(long || columns[0] === "option")) return;
        table.classList.add("sentences");
        cells.forEach(function (cell) { cell.dataset.column = columns[cell.cellIndex]; });
    });
    document.querySelectorAll(".content :not(pre) > code, .content pre > code.language-text").forEach(function (code) {
        if (code.children.length) return;
        var text = code.innerHTML.replace(/--[\w-]+|-&gt;/g, '<span class="whole">$&</span>');
        code.innerHTML = code.closest("td") ? text.replace(/[.(](?=[a-z_])/gi, "$&<wbr>") : text;
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
