"""The language server in the hands of a client that others wrote: pygls. Each of its functions once, with imports and half a
statement. Usage: outside.py PROGRAM FOLDER. Run by tests/it/lsp.rs."""

import asyncio
import sys
from pathlib import Path

from lsprotocol import types as lsp
from pygls.lsp.client import LanguageClient

TOOLS = "// The mean of two.\nfn mean(a, b) { (a + b) / 2 }\n"
MAIN = """import "tools" as tools;
let net = load_model("shapes");
let smile = "😀"; let middle = tools::mean(1, 2);
print(middle);
let map = occlusion(#{ pat
"""
WHOLE = "let map = occlusion(#{ patch: 12 }).run( net,shapes(1)[0] );\n"


async def session(program, folder):
    client = LanguageClient("outside", "1")
    told, changed = {}, asyncio.Condition()

    @client.feature(lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
    async def tell(params: lsp.PublishDiagnosticsParams):
        async with changed:
            told[params.uri, params.version] = params.diagnostics
            changed.notify_all()

    async def diagnostics(uri, version):
        async with changed:
            await changed.wait_for(lambda: (uri, version) in told)
        return told[uri, version]

    (folder / "tools.rhai").write_text(TOOLS)
    main, tools = ((folder / name).as_uri() for name in ("main.rhai", "tools.rhai"))
    await client.start_io(program, "lsp")
    begun = await client.initialize_async(
        lsp.InitializeParams(
            capabilities=lsp.ClientCapabilities(), root_uri=folder.as_uri(), process_id=None
        )
    )
    can = begun.capabilities
    assert can.position_encoding == lsp.PositionEncodingKind.Utf16
    client.initialized(lsp.InitializedParams())
    client.text_document_did_open(
        lsp.DidOpenTextDocumentParams(lsp.TextDocumentItem(uri=main, language_id="rhai", version=1, text=MAIN))
    )
    document = lsp.TextDocumentIdentifier(main)

    def at(kind, line, character, **more):
        return kind(text_document=document, position=lsp.Position(line, character), **more)

    # Half a statement is said to be one, and what stands before it is still known.
    wrong = await diagnostics(main, 1)
    assert wrong and wrong[0].severity == lsp.DiagnosticSeverity.Error and wrong[0].range.start.line >= 4, wrong

    found = await client.text_document_completion_async(at(lsp.CompletionParams, 4, 26))
    labels = [item.label for item in found.items]
    assert "patch" in labels and "stride" not in labels, labels

    shown = await client.text_document_hover_async(at(lsp.HoverParams, 1, 12))
    assert "load_model(" in shown.contents.value and "\n- `labels`" in shown.contents.value, shown

    help_ = await client.text_document_signature_help_async(at(lsp.SignatureHelpParams, 1, 21))
    assert help_.signatures[0].label.startswith("load_model("), help_

    # What an imported script declares, behind a picture of two UTF-16 units.
    help_ = await client.text_document_signature_help_async(at(lsp.SignatureHelpParams, 2, 46))
    assert (help_.signatures[0].label, help_.active_parameter) == ("mean(a, b)", 1), help_
    shown = await client.text_document_hover_async(at(lsp.HoverParams, 2, 40))
    assert "fn mean(a, b)" in shown.contents.value and "The mean of two." in shown.contents.value, shown
    found = await client.text_document_completion_async(at(lsp.CompletionParams, 2, 38))
    assert [item.label for item in found.items] == ["mean"], found
    place = await client.text_document_definition_async(at(lsp.DefinitionParams, 2, 40))
    assert place.uri == tools and place.range.start == lsp.Position(1, 3), place

    places = await client.text_document_references_async(
        at(lsp.ReferenceParams, 2, 40, context=lsp.ReferenceContext(include_declaration=True))
    )
    assert {p.uri for p in places} == {main, tools}, places

    lit = await client.text_document_document_highlight_async(at(lsp.DocumentHighlightParams, 3, 8))
    assert [h.range.start.line for h in lit] == [2, 3], lit

    ready = await client.text_document_prepare_rename_async(at(lsp.PrepareRenameParams, 3, 8))
    assert ready.placeholder == "middle", ready
    edit = await client.text_document_rename_async(at(lsp.RenameParams, 2, 40, new_name="average"))
    assert {uri: len(edits) for uri, edits in edit.changes.items()} == {main: 1, tools: 1}, edit

    names = await client.text_document_document_symbol_async(lsp.DocumentSymbolParams(document))
    assert [name.name for name in names] == ["tools", "net", "smile", "middle", "map"], names

    legend = can.semantic_tokens_provider.legend
    data = (await client.text_document_semantic_tokens_full_async(lsp.SemanticTokensParams(document))).data
    kinds = {legend.token_types[data[i + 3]] for i in range(0, len(data), 5)}
    assert {"namespace", "variable", "function", "property"} >= kinds >= {"namespace", "variable", "function"}, kinds

    # The half statement is mended, and the text formatted.
    last = lsp.Range(lsp.Position(4, 0), lsp.Position(5, 0))
    client.text_document_did_change(
        lsp.DidChangeTextDocumentParams(
            text_document=lsp.VersionedTextDocumentIdentifier(version=2, uri=main),
            content_changes=[lsp.TextDocumentContentChangePartial(range=last, text=WHOLE)],
        )
    )
    assert not await diagnostics(main, 2), told
    edits = await client.text_document_formatting_async(
        lsp.DocumentFormattingParams(document, lsp.FormattingOptions(tab_size=4, insert_spaces=True))
    )
    assert edits and "run(net, shapes(1)[0])" in "".join(
        apply(MAIN.replace(MAIN.splitlines(True)[-1], WHOLE), edits).splitlines(True)[-1:]
    ), edits

    client.text_document_did_close(lsp.DidCloseTextDocumentParams(document))
    await client.shutdown_async(None)
    client.exit(None)
    await client.stop()


def apply(text, edits):
    """The text with the edits made, from the last to the first; lines here have no letters of two units."""
    lines = text.splitlines(True)
    offset = lambda p: sum(map(len, lines[: p.line])) + p.character  # noqa: E731
    for edit in sorted(edits, key=lambda e: offset(e.range.start), reverse=True):
        text = text[: offset(edit.range.start)] + edit.new_text + text[offset(edit.range.end) :]
    return text


if __name__ == "__main__":
    asyncio.run(asyncio.wait_for(session(sys.argv[1], Path(sys.argv[2]).resolve()), 120))
    print("every function answered")
