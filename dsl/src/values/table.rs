//! Tables in scripts: columns by name, rows as maps.

use crate::convert::{cell, count, index, kind, row, to_cell};
use crate::fault::{Fallible, Raise};
use crate::library::Library;
use convscope_engine::show::{Cell, Table};
use convscope_engine::{Error, Result};
use rhai::{Array, Dynamic, FnPtr, Map, NativeCallContext};

/// Binds tables.
pub fn bind(library: &mut Library<'_>) {
    library.kind::<Table>("table", "Named columns of numbers and texts.");
    library.add(
        "table(rows: list) -> table",
        "A table from a list of maps, one a row; the columns in the order of their names, or as given.",
        |rows: Array| from_rows(&rows, None).raise(),
    );
    library.add("table(rows: list, columns: list) -> table", "", |rows: Array, columns: Array| {
        let columns = columns.iter().map(ToString::to_string).collect();
        from_rows(&rows, Some(columns)).raise()
    });
    library.getter("table.columns -> list", "The columns' names.", |t: &mut Table| {
        t.columns().iter().map(|c| Dynamic::from(c.clone())).collect::<Array>()
    });
    library.getter("table.rows -> list", "The rows as maps.", |t: &mut Table| rows(t));
    library.note("table[name] -> list", "The column of that name (text) as a list, or row i (number) as a map.");
    library.engine.register_indexer_get(|t: &mut Table, name: &str| {
        t.column(name).map(|c| c.iter().map(cell).collect::<Array>()).raise()
    });
    library.engine.register_indexer_get(|t: &mut Table, i: i64| {
        let at = index(i, t.len(), "row").raise()?;
        Fallible::Ok(row(t, &t.rows()[at]))
    });
    library.add("table.len() -> number", "The number of rows.", |t: &mut Table| t.len() as i64);
    library.add(
        "table.sort(column: text) -> table",
        "The rows by a column, smallest first; with `true` largest first.",
        |t: &mut Table, c: &str| t.sorted(c, false).raise(),
    );
    library.add(
        "table.sort(column: text, descending: bool) -> table",
        "",
        |t: &mut Table, c: &str, descending: bool| t.sorted(c, descending).raise(),
    );
    library.add(
        "table.filter(keep: function) -> table",
        "The rows for which the function returns true: t.filter(|row| row.probability > 0.5).",
        |context: NativeCallContext, t: Table, keep: FnPtr| filter(&context, &t, &keep),
    );
    library.add(
        "table.map(f: function) -> list",
        "The list of the function's values for each row.",
        |context: NativeCallContext, t: Table, f: FnPtr| {
            t.rows()
                .iter()
                .map(|r| f.call_within_context::<Dynamic>(&context, (row(&t, r),)))
                .collect::<Fallible<Array>>()
        },
    );
    library.add("table.head(n: number) -> table", "The first n rows.", |t: &mut Table, n: i64| {
        Fallible::Ok(t.head(count(n, "the number of rows").raise()?))
    });
    library.add("table.push(row: map)", "Adds a row.", |t: &mut Table, row: Map| push(t, &row).raise());
    library.loops::<Table>(|t| Box::new((0..t.len()).map(move |i| Ok(Dynamic::from_map(row(&t, &t.rows()[i]))))));
    library.text::<Table>(|t| format!("table of {} rows: {}", t.len(), t.columns().join(", ")));
}

fn rows(t: &Table) -> Array {
    t.rows().iter().map(|r| Dynamic::from_map(row(t, r))).collect()
}

fn from_rows(rows: &Array, columns: Option<Vec<String>>) -> Result<Table> {
    let maps: Option<Vec<Map>> = rows.iter().map(crate::convert::cast::<Map>).collect();
    let Some(maps) = maps else {
        let other = rows.iter().find(|r| !r.is_map()).map_or_else(|| "nothing".into(), kind);
        return Err(
            Error::value(format!("a row must be a map, got {other}")).hint("table([#{ name: \"a\", value: 1 }])")
        );
    };
    let columns = columns.unwrap_or_else(|| {
        let mut names: Vec<String> = Vec::new();
        for name in maps.iter().flat_map(|m| m.keys()) {
            if !names.iter().any(|n| n == name.as_str()) {
                names.push(name.to_string());
            }
        }
        names
    });
    let mut table = Table::new(columns.clone());
    for map in &maps {
        table.push(columns.iter().map(|c| map.get(c.as_str()).map_or(Cell::Nothing, to_cell)));
    }
    Ok(table)
}

fn push(table: &mut Table, row: &Map) -> Result<()> {
    for name in row.keys() {
        table.index(name)?;
    }
    let cells: Vec<Cell> = table.columns().iter().map(|c| row.get(c.as_str()).map_or(Cell::Nothing, to_cell)).collect();
    table.push(cells);
    Ok(())
}

fn filter(context: &NativeCallContext<'_>, table: &Table, keep: &FnPtr) -> Fallible<Table> {
    let mut kept = Table::new(table.columns().to_vec());
    for cells in table.rows() {
        if crate::functions::truth(keep.call_within_context::<Dynamic>(context, (row(table, cells),))?)? {
            kept.push(cells.iter().cloned());
        }
    }
    Ok(kept)
}
