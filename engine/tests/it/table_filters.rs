//! Filters of tables: which rows fulfil them, which row groups are not read for them, and what is refused.

use convscope_engine::data::{Dataset, Image};
use convscope_engine::params::{Params, Value};
use convscope_engine::random::Stream;
use convscope_engine::table::filter::Filter;
use convscope_engine::table::{LoadTable, index, load_table, shards_of, sources};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int32Type, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use std::path::Path;
use std::sync::Arc;

/// Rows of the table, and of a row group.
const ROWS: usize = 240;
const GROUP: usize = 20;

const SCHEMA: &str = "message rows {
    required binary image; optional int32 label; optional float size; optional binary place (UTF8);
    optional boolean sharp; optional int64 id (INTEGER(64, false)); optional double weight; required int32 day (DATE);
}";

/// A row as the test knows it.
#[derive(Clone, Debug)]
struct Row {
    label: Option<i32>,
    size: Option<f32>,
    place: Option<String>,
    sharp: Option<bool>,
    id: Option<u64>,
    weight: Option<f64>,
}

fn rows() -> Vec<Row> {
    let mut draw = Stream::new(7, "rows of a table");
    let mut there = |n: u64| draw.next_below(n) > 0;
    let row = |i: usize| Row {
        // Sorted, so that groups hold few labels; one group has none.
        label: (i / GROUP != 5 && there(9)).then_some((i / 30) as i32),
        size: there(7).then_some(if i.is_multiple_of(50) { f32::NAN } else { (i % 37) as f32 / 10.0 }),
        place: there(8).then(|| ["Bonn", "Oslo", "Paris", "Ürümqi"][i * 4 / ROWS].to_string() + &"x".repeat(i % 90)),
        sharp: there(8).then_some(i > ROWS / 2),
        id: there(8).then_some(if i < GROUP { u64::MAX - i as u64 } else { 9_007_199_254_740_992 + i as u64 }),
        weight: there(8).then_some(i as f64 / 7.0),
    };
    (0..ROWS).map(row).collect()
}

fn column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, std::fs::File>,
    values: Vec<Option<T::T>>,
    optional: bool,
) {
    let mut column = group.next_column().unwrap().unwrap();
    let levels: Vec<i16> = values.iter().map(|v| i16::from(v.is_some())).collect();
    let held: Vec<T::T> = values.into_iter().flatten().collect();
    column.typed::<T>().write_batch(&held, optional.then_some(&levels[..]), None).unwrap();
    column.close().unwrap();
}

fn write(path: &Path, rows: &[Row]) {
    let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
    let names = r#"{"info": {"features": {"label": {"names": ["a", "b", "c", "d", "e", "f", "g", "h"]}}}}"#;
    let said = vec![KeyValue::new("huggingface".to_string(), names.to_string())];
    // Texts are cut off in statistics: what is stated is then a bound and no value.
    let properties = WriterProperties::builder()
        .set_key_value_metadata(Some(said))
        .set_statistics_truncate_length(Some(6))
        .set_data_page_row_count_limit(7)
        .set_write_batch_size(7);
    let file = std::fs::File::create(path).unwrap();
    let mut file = SerializedFileWriter::new(file, schema, Arc::new(properties.build())).unwrap();
    for (g, part) in rows.chunks(GROUP).enumerate() {
        let image = |i: usize| Image::filled(2, 2, [(g * GROUP + i) as u8, 1, 2]).unwrap().encode_png().unwrap();
        let mut group = file.next_row_group().unwrap();
        column::<ByteArrayType>(&mut group, (0..part.len()).map(|i| Some(image(i).into())).collect(), false);
        column::<Int32Type>(&mut group, part.iter().map(|r| r.label).collect(), true);
        column::<FloatType>(&mut group, part.iter().map(|r| r.size).collect(), true);
        let place = |r: &Row| r.place.as_deref().map(ByteArray::from);
        column::<ByteArrayType>(&mut group, part.iter().map(place).collect(), true);
        column::<BoolType>(&mut group, part.iter().map(|r| r.sharp).collect(), true);
        column::<Int64Type>(&mut group, part.iter().map(|r| r.id.map(|i| i as i64)).collect(), true);
        column::<DoubleType>(&mut group, part.iter().map(|r| r.weight).collect(), true);
        column::<Int32Type>(&mut group, part.iter().map(|_| Some(20_000)).collect(), false);
        group.close().unwrap();
    }
    file.close().unwrap();
}

fn options(filter: &str) -> LoadTable {
    let mut options = LoadTable::default();
    options.set("filter", &Value::Text(filter.into())).unwrap();
    options
}

fn load(path: &Path, filter: &str) -> convscope_engine::Result<Dataset> {
    load_table(&[path.to_string_lossy().into_owned()], Path::new(""), &options(filter))
}

/// A filter and what it says, written down a second time.
type Asked = (&'static str, fn(&Row) -> bool);

const ASKED: [Asked; 24] = [
    ("label = 3", |r| r.label == Some(3)),
    ("label = 'd'", |r| r.label == Some(3)),
    ("label in ('a', 'h') ", |r| matches!(r.label, Some(0 | 7))),
    ("label <> 3", |r| r.label.is_some_and(|l| l != 3)),
    ("label not in (0, 1,2, 3)", |r| r.label.is_some_and(|l| l > 3)),
    ("label is null", |r| r.label.is_none()),
    ("label IS NOT NULL and label < 2.5", |r| r.label.is_some_and(|l| l < 3)),
    ("label >= -0.5 and label<=1", |r| r.label.is_some_and(|l| l <= 1)),
    ("size = 0.3", |r| r.size == Some(0.3)),
    ("size > 3.4", |r| r.size.is_some_and(|s| s > 3.4)),
    ("size <> 1", |r| r.size.is_some_and(|s| s != 1.0)),
    ("size <= 0", |r| r.size.is_some_and(|s| s <= 0.0)),
    ("place < 'C'", |r| r.place.as_deref().is_some_and(|p| p < "C")),
    ("place >= 'Parisxx' and place < 'Q'", |r| r.place.as_deref().is_some_and(|p| ("Parisxx".."Q").contains(&p))),
    ("place = 'Bonnx'", |r| r.place.as_deref() == Some("Bonnx")),
    ("\"place\" > 'Z'", |r| r.place.as_deref().is_some_and(|p| p > "Z")),
    ("place != 'Paris'", |r| r.place.as_deref().is_some_and(|p| p != "Paris")),
    ("sharp = true", |r| r.sharp == Some(true)),
    ("sharp <> true and label is not null", |r| r.sharp == Some(false) && r.label.is_some()),
    ("id = 9007199254741093", |r| r.id == Some(9_007_199_254_741_093)),
    ("id > 9007199254741200", |r| r.id.is_some_and(|i| i > 9_007_199_254_741_200)),
    ("weight > 3 and weight < 11.5", |r| r.weight.is_some_and(|w| w > 3.0 && w < 11.5)),
    ("weight <= 1e0", |r| r.weight.is_some_and(|w| w <= 1.0)),
    ("day is not null and label = 7", |r| r.label == Some(7)),
];

#[test]
fn filters_leave_the_rows_of_a_plain_scan() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let rows = rows();
    write(&path, &rows);
    let whole = load_table(&[path.to_string_lossy().into_owned()], Path::new(""), &LoadTable::default()).unwrap();
    assert_eq!(whole.len(), ROWS);
    for (filter, holds) in ASKED {
        let kept: Vec<usize> = (0..ROWS).filter(|i| holds(&rows[*i])).collect();
        assert!(!kept.is_empty() && kept.len() < ROWS, "`{filter}` decides nothing");
        let data = load(&path, filter).unwrap();
        let found: Vec<usize> =
            (0..data.len()).map(|i| usize::from(data.get(i).unwrap().pixel(0, 0).unwrap()[0])).collect();
        assert_eq!(found, kept, "{filter}");
        for (i, row) in kept.iter().enumerate().step_by(3) {
            assert_eq!(data.label(i), whole.label(*row), "{filter}");
        }
        assert_ne!(data.identity(), whole.identity());
        // What it is written as says the same.
        let again = Filter::parse(&Filter::parse(filter).unwrap().to_string()).unwrap();
        assert_eq!(again, Filter::parse(filter).unwrap());
    }
}

#[test]
fn groups_whose_statistics_rule_them_out_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    write(&path, &rows());
    let mut bytes = std::fs::read(&path).unwrap();
    let file = SerializedFileReader::new(std::fs::File::open(&path).unwrap()).unwrap();
    // Labels and places of all groups but the last two are overwritten.
    for group in &file.metadata().row_groups()[..ROWS / GROUP - 2] {
        for leaf in [1, 3] {
            let (start, length) = group.column(leaf).byte_range();
            bytes[start as usize..(start + length) as usize].fill(0xff);
        }
    }
    std::fs::write(&path, &bytes).unwrap();
    let last = |row: &Row| row.label.is_some_and(|l| l >= 7);
    let kept = rows().iter().filter(|r| last(r)).count();
    for filter in ["label >= 7", "label in (7, 8)", "label = 'h'", "place > 'Z' and label > 6.5"] {
        let data = load(&path, filter).unwrap();
        assert!(data.len() <= kept && !data.is_empty(), "{filter}");
        assert_eq!(data.get(0).unwrap().label(), Some("h"), "{filter}");
    }
    let e = load(&path, "label > 2").unwrap_err();
    assert!(e.message.contains("damaged"), "{e}");
}

#[test]
fn filters_of_manifests_and_tars_ask_their_fields() {
    let folder = tempfile::tempdir().unwrap();
    let mut manifest = "file,label,depth,place\n".to_string();
    let mut tar = tar::Builder::new(std::fs::File::create(folder.path().join("a.tar")).unwrap());
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        tar.append_data(&mut header, name, bytes).unwrap();
    };
    for i in 0..20u8 {
        let png = Image::filled(2, 2, [i, 0, 0]).unwrap().encode_png().unwrap();
        std::fs::write(folder.path().join(format!("{i}.png")), &png).unwrap();
        let place = if i % 5 == 0 { "" } else { "here" };
        manifest += &format!("{i}.png,{},{},{place}\n", i % 3, f64::from(i) / 2.0);
        add(&format!("{i:02}.png"), &png);
        add(&format!("{i:02}.cls"), (i % 3).to_string().as_bytes());
        let place = if i % 5 == 0 { "null" } else { "\"here\"" };
        add(&format!("{i:02}.json"), format!("{{\"depth\": {}, \"place\": {place}}}", f64::from(i) / 2.0).as_bytes());
    }
    tar.finish().unwrap();
    std::fs::write(folder.path().join("a.csv"), manifest).unwrap();
    for (file, label) in [("a.csv", "label"), ("a.tar", "cls")] {
        let path = folder.path().join(file);
        let of = |filter: &str| -> Vec<u8> {
            let data = load(&path, filter).unwrap();
            (0..data.len()).map(|i| data.get(i).unwrap().pixel(0, 0).unwrap()[0]).collect()
        };
        assert_eq!(of(&format!("{label} = 2 and depth > 4")), [11, 14, 17], "{file}");
        assert_eq!(of("place is null"), [0, 5, 10, 15], "{file}");
        assert_eq!(of("place = 'here' and depth <= 1.5"), [1, 2, 3], "{file}");
        let e = load(&path, "none = 3").unwrap_err();
        assert!(e.message.contains("no filter column `none`") && e.hint.is_some(), "{e}");
        let e = load(&path, "place = 3").unwrap_err();
        assert!(e.message.contains("row 1") && e.message.contains("compares `place` with 3"), "{e}");
    }
    let e = load(folder.path().join("none").parent().unwrap(), "label = 2");
    // The folder has tables: its tar's samples have no `label`.
    assert!(e.unwrap_err().message.contains("a.tar"));
}

#[test]
fn what_no_filter_can_ask_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    write(&path, &rows());
    for (filter, says) in [
        ("label", "`label` is followed by nothing"),
        ("label = ", "nothing where a value is looked for"),
        ("label = d", "a text stands in single quotes: 'd'"),
        ("label = 3 or label = 4", "`or` where `and`"),
        ("label in 3", "followed by `3`"),
        ("label in (3", "nothing in a list"),
        ("place = 'x", "a quote is not closed"),
        ("label = 3 and", "a column is missing"),
        ("label # 3", "`#` is not understood"),
        ("label = 3e", "`3e` is no number"),
        ("lable = 3", "no filter column `lable`"),
        ("label = 'z'", "the label 'z', which is none of 8"),
        ("size = '3'", "compares `size` with '3', the column holds numbers"),
        ("sharp = 1", "the column holds true or false"),
        ("day > 100", "the column holds dates or times"),
        ("label > 100", "no row of the table"),
    ] {
        let e = load(&path, filter).unwrap_err();
        assert!(e.message.contains(says), "{filter}: {e}");
    }
}

#[test]
fn a_list_of_shards_holds_to_its_filter() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("a.parquet"), &rows());
    let asked = options("label >= 2");
    let files = sources::files(&["a.parquet".into()], folder.path()).unwrap();
    let shards = shards_of(&files, &asked, Some(50)).unwrap();
    let whole = load(&folder.path().join("a.parquet"), "label >= 2").unwrap();
    assert_eq!(shards.iter().map(|s| s.rows).sum::<usize>(), whole.len());
    let list = folder.path().join("shards.parquet");
    std::fs::write(&list, index::encode(&shards, Some("label>=2"), folder.path()).unwrap()).unwrap();
    let data = load(&list, "label  >= 2").unwrap();
    let about = |data: &Dataset| data.identity().as_array().unwrap()[1..].to_vec();
    assert_eq!((data.len(), about(&data)), (whole.len(), about(&whole)));
    for i in [0, 49, 50, whole.len() - 1] {
        assert_eq!(data.get(i).unwrap().pixel(0, 0), whole.get(i).unwrap().pixel(0, 0));
    }
    for filter in [None, Some("label >= 3")] {
        let asked = filter.map_or_else(LoadTable::default, options);
        let e = load_table(&[list.to_string_lossy().into_owned()], Path::new(""), &asked).unwrap_err();
        assert!(e.message.contains("was made with the filter \"label\" >= 2"), "{e}");
    }
}
