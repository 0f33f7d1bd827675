//! Buckets against object_store's store in memory: what is listed, what is read of an object, and how errors are told.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::data::Image;
use crate::params::{Params, Value};
use crate::table::{LoadTable, load_table};
use async_trait::async_trait;
use object_store::list::PaginatedListResult;
use object_store::memory::InMemory;
use object_store::{
    CopyOptions, GetResult, ListResult, MultipartUpload, PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::fmt;
use std::ops::Range;

type Asked = Arc<Mutex<Vec<String>>>;

/// A store in memory that lists three objects a page, notes what it is asked, and fails where it is told to.
#[derive(Debug)]
struct Noted {
    inner: InMemory,
    asked: Asked,
    fails: Arc<Mutex<Option<fn() -> object_store::Error>>>,
}

impl fmt::Display for Noted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a store in memory")
    }
}

impl Noted {
    fn note(&self, what: String) -> object_store::Result<()> {
        self.asked.lock().unwrap().push(what);
        self.fails.lock().unwrap().map_or(Ok(()), |error| Err(error()))
    }
}

type Objects = futures_core::stream::BoxStream<'static, object_store::Result<ObjectMeta>>;

#[async_trait]
impl ObjectStore for Noted {
    async fn put_opts(&self, at: &Path, bytes: PutPayload, how: PutOptions) -> object_store::Result<PutResult> {
        self.inner.put_opts(at, bytes, how).await
    }
    async fn put_multipart_opts(
        &self,
        at: &Path,
        how: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, how).await
    }
    async fn get_opts(&self, at: &Path, how: GetOptions) -> object_store::Result<GetResult> {
        self.note(match &how.range {
            Some(GetRange::Bounded(r)) => format!("{at} {}..{}", r.start, r.end),
            _ => format!("{at} {}", if how.head { "head" } else { "whole" }),
        })?;
        self.inner.get_opts(at, how).await
    }
    fn delete_stream(
        &self,
        paths: futures_core::stream::BoxStream<'static, object_store::Result<Path>>,
    ) -> futures_core::stream::BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(paths)
    }
    fn list(&self, prefix: Option<&Path>) -> Objects {
        self.inner.list(prefix)
    }
    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }
    async fn copy_opts(&self, from: &Path, to: &Path, how: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, how).await
    }
}

#[async_trait]
impl PaginatedListStore for Noted {
    /// As S3 lists: keys in order that begin with the prefix, without those behind a delimiter, three a page.
    async fn list_paginated(
        &self,
        prefix: Option<&str>,
        how: PaginatedListOptions,
    ) -> object_store::Result<PaginatedListResult> {
        let prefix = prefix.unwrap_or_default();
        self.note(format!("list `{prefix}`{}", if how.delimiter.is_some() { " flat" } else { "" }))?;
        let mut objects = all(&self.inner).await;
        objects.retain(|about| {
            let rest = about.location.as_ref().strip_prefix(prefix);
            rest.is_some_and(|rest| how.delimiter.is_none() || !rest.contains('/'))
        });
        let from = how.page_token.map_or(0, |token| token.parse().unwrap());
        let left: Vec<ObjectMeta> = objects.drain(from..).collect();
        let page_token = (left.len() > 3).then(|| (from + 3).to_string());
        let objects = left.into_iter().take(3).collect();
        Ok(PaginatedListResult { result: ListResult { objects, common_prefixes: Vec::new() }, page_token })
    }
}

async fn all(store: &InMemory) -> Vec<ObjectMeta> {
    let (mut found, mut folders) = (Vec::new(), vec![None]);
    while let Some(folder) = folders.pop() {
        let page = store.list_with_delimiter(folder.as_ref()).await.unwrap();
        folders.extend(page.common_prefixes.into_iter().map(Some));
        found.extend(page.objects);
    }
    found.sort_by(|a, b| a.location.as_ref().cmp(b.location.as_ref()));
    found
}

/// A bucket of that name with objects; what is asked of it, and how it fails.
fn bucket(name: &str, objects: &[(&str, Vec<u8>)]) -> (Asked, Arc<Mutex<Option<fn() -> object_store::Error>>>) {
    let store = Noted { inner: InMemory::new(), asked: Asked::default(), fails: Arc::default() };
    let told = (store.asked.clone(), store.fails.clone());
    runtime().unwrap().block_on(async {
        for (key, bytes) in objects {
            store.inner.put(&Path::parse(key).unwrap(), bytes.clone().into()).await.unwrap();
        }
    });
    let address = format!("s3://{name}");
    let bucket = Bucket::new(address.clone(), Arc::new(store));
    buckets().lock().unwrap().insert(address, Arc::new(bucket));
    told
}

fn png(i: usize) -> Vec<u8> {
    // Pixels that do not pack, so that pages are large.
    let noise = crate::random::Stream::new(i as u64, "pixels");
    let mut pixels: Vec<u8> = (0..64 * 64 * 3).map(|at| noise.u64_at(at) as u8).collect();
    pixels[..3].copy_from_slice(&[i as u8, 0, 0]);
    Image::new(64, 64, pixels).unwrap().encode_png().unwrap()
}

/// A Parquet file of rows `from..to` in groups of ten, with a column that nobody asks for.
fn shard(rows: Range<usize>) -> Vec<u8> {
    let schema = "message rows { required binary unused; required binary image; required int32 label; }";
    let properties = WriterProperties::builder().set_dictionary_enabled(false).set_data_page_row_count_limit(4);
    let properties = Arc::new(properties.set_write_batch_size(4).build());
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut file = SerializedFileWriter::new(Vec::new(), schema, properties).unwrap();
    for first in rows.clone().step_by(10) {
        let mut group = file.next_row_group().unwrap();
        let these = first..(first + 10).min(rows.end);
        for leaf in 0..2 {
            let bytes = |i: usize| ByteArray::from(if leaf == 0 { vec![i as u8; 300_000] } else { png(i) });
            let mut column = group.next_column().unwrap().unwrap();
            let values: Vec<ByteArray> = these.clone().map(bytes).collect();
            column.typed::<ByteArrayType>().write_batch(&values, None, None).unwrap();
            column.close().unwrap();
        }
        let mut column = group.next_column().unwrap().unwrap();
        let labels: Vec<i32> = these.map(|i| i as i32 / 10).collect();
        column.typed::<Int32Type>().write_batch(&labels, None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    file.into_inner().unwrap()
}

fn options(filter: Option<&str>) -> LoadTable {
    let mut options = LoadTable::default();
    if let Some(filter) = filter {
        options.set("filter", &Value::Text(filter.into())).unwrap();
    }
    options
}

fn load(uri: &str, filter: Option<&str>) -> Result<crate::data::Dataset> {
    load_table(&[uri.to_string()], std::path::Path::new("nowhere"), &options(filter))
}

#[test]
fn patterns_list_what_begins_as_they_do() {
    let keys = [
        "a/x-1.csv",
        "a/x-2.csv",
        "a/x-3.csv",
        "a/x-4.csv",
        "a/x-5.txt",
        "a/y-1.csv",
        "a/.x-6.csv",
        "a/b/x-7.csv",
        "ab/x-8.csv",
    ];
    let objects: Vec<(&str, Vec<u8>)> = keys.iter().map(|key| (*key, b"x".to_vec())).collect();
    let (asked, _) = bucket("listed", &objects);
    let of = |pattern: &str| -> Vec<String> {
        let found = matching(&format!("s3://listed/{pattern}")).unwrap();
        found.iter().map(|uri| uri.strip_prefix("s3://listed/").unwrap().to_string()).collect()
    };
    let seen = || std::mem::take(&mut *asked.lock().unwrap());
    assert_eq!(of("a/x-*.csv"), ["a/x-1.csv", "a/x-2.csv", "a/x-3.csv", "a/x-4.csv"]);
    // Five begin so, three a page.
    assert_eq!(seen(), ["list `a/x-` flat", "list `a/x-` flat"]);
    assert_eq!(of("a/*-[12].csv"), ["a/x-1.csv", "a/x-2.csv", "a/y-1.csv"]);
    assert_eq!(of("a*/x-?.csv"), ["a/x-1.csv", "a/x-2.csv", "a/x-3.csv", "a/x-4.csv", "ab/x-8.csv"]);
    assert_eq!(of("**/x-[78].csv"), ["a/b/x-7.csv", "ab/x-8.csv"]);
    assert_eq!(of("a/.*.csv"), ["a/.x-6.csv"]);
    assert!(of("c*").is_empty() && seen().contains(&"list `c` flat".to_string()));
    assert_eq!(below("s3://listed/a/", false).unwrap().len(), 6);
    assert_eq!(below("s3://listed/a", true).unwrap().last().unwrap(), "s3://listed/a/y-1.csv");
    assert_eq!(below("s3://listed", true).unwrap().len(), 8);
    for wrong in ["s3://", "s3://a b/c", "s3:///c"] {
        assert!(matching(wrong).unwrap_err().message.contains("names no bucket"), "{wrong}");
    }
    assert!(CloudObject::open("s3://listed/").map(drop).unwrap_err().message.contains("names a bucket"));
}

#[test]
fn shards_are_read_by_ranges_of_the_columns_that_are_asked_for() {
    let bytes = shard(0..40);
    let (asked, _) = bucket("shards", &[("d/0.parquet", bytes.clone()), ("d/1.parquet", shard(40..60))]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("0.parquet"), &bytes).unwrap();
    std::fs::write(folder.path().join("1.parquet"), shard(40..60)).unwrap();
    let local = load_table(&["*.parquet".into()], folder.path(), &options(None)).unwrap();
    let far = load("s3://shards/d/*.parquet", None).unwrap();
    assert_eq!((far.len(), far.labels(), far.identity()), (60, local.labels(), local.identity()));
    for i in (0..60).chain([59, 3, 31]) {
        let (a, b) = (far.get(i).unwrap(), local.get(i).unwrap());
        assert_eq!((a.encode_png().unwrap(), a.label()), (b.encode_png().unwrap(), b.label()), "{i}");
    }
    let file = SerializedFileReader::new(Bytes::from(bytes.clone())).unwrap();
    let unused = |at: u64| {
        let mut groups = file.metadata().row_groups().iter();
        groups.any(|g| {
            let (start, length) = g.column(0).byte_range();
            (start..start + length).contains(&at)
        })
    };
    let end = bytes.len() as u64 - (1 << 16);
    let reads = |key: &str| -> Vec<Range<u64>> {
        let asked = asked.lock().unwrap();
        let parts = asked.iter().filter_map(|a| a.strip_prefix(key)?.trim().split_once(".."));
        parts.map(|(a, b)| a.parse().unwrap()..b.parse().unwrap()).collect()
    };
    let all = reads("d/0.parquet");
    assert!(!all.is_empty() && !asked.lock().unwrap().iter().any(|a| a.ends_with("whole")));
    // Nothing of the column that nobody asked for, but for what the last 64 KB hold of it.
    assert!(all.iter().all(|r| r.start == end || !unused(r.start) && !unused(r.end - 1)), "{all:?}");
    // Rows 20 to 29 alone: images of one group, labels of it, and the end.
    asked.lock().unwrap().clear();
    let some = load("s3://shards/d/0.parquet", Some("label = 2")).unwrap();
    let found: Vec<Image> = (0..10).map(|i| some.get(i).unwrap()).collect();
    assert_eq!((some.len(), found[9].pixel(0, 0)), (10, Some([29, 0, 0])));
    let group = &file.metadata().row_groups()[2];
    let (first, last) = (group.column(0).byte_range().0, group.column(2).byte_range());
    let inside = |r: &Range<u64>| r.start == end || first <= r.start && r.end <= last.0 + last.1;
    assert!(reads("d/0.parquet").iter().all(inside), "{:?}", reads("d/0.parquet"));
}

#[test]
fn tars_lists_and_folders_in_a_bucket_are_tables() {
    let mut tar = tar::Builder::new(Vec::new());
    let mut objects: Vec<(String, Vec<u8>)> = Vec::new();
    let mut list = "file,label\n".to_string();
    for i in 0..5 {
        for (end, content) in [("png", png(i)), ("cls", b"ant".to_vec())] {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_cksum();
            tar.append_data(&mut header, format!("{i}.{end}"), &content[..]).unwrap();
        }
        list += &format!("images/ant/{i}.png,ant\n");
        objects.push((format!("images/ant/{i}.png"), png(i)));
    }
    objects.push(("set.tar".into(), tar.into_inner().unwrap()));
    objects.push(("list.csv".into(), list.into_bytes()));
    objects.push(("images/notes.txt".into(), b"no image".to_vec()));
    let given: Vec<(&str, Vec<u8>)> = objects.iter().map(|(key, bytes)| (key.as_str(), bytes.clone())).collect();
    bucket("forms", &given);
    for name in ["set.tar", "*.tar", "list.csv", "images", "images/"] {
        let data = load(&format!("s3://forms/{name}"), None).unwrap();
        assert_eq!((data.len(), data.labels()), (5, vec!["ant".to_string()]), "{name}");
        for i in [4, 0, 2] {
            assert_eq!(data.get(i).unwrap().pixel(0, 0), Some([i as u8, 0, 0]), "{name}");
        }
    }
    let e = load("s3://forms/none/", None).unwrap_err();
    assert!(e.message.contains("no rows") || e.message.contains("no table"), "{e}");
    let e = load("s3://forms/none.csv", None).unwrap_err();
    assert!(e.kind == Kind::NotFound && e.message.contains("s3://forms/none.csv"), "{e}");
}

/// An error as object_store gives it where a server answers with that text.
fn answer(text: &'static str) -> object_store::Error {
    object_store::Error::Generic { store: "S3", source: text.into() }
}

#[test]
fn a_store_that_does_not_answer_breaks_no_image() {
    let (_, fails) = bucket("away", &[("0.parquet", shard(0..20))]);
    let data = load("s3://away/0.parquet", None).unwrap();
    assert!(data.get(3).is_ok());
    let fail = |how: Option<fn() -> object_store::Error>| {
        *fails.lock().unwrap() = how;
        // As if the pause were over.
        *buckets().lock().unwrap()["s3://away"].lost.lock().unwrap() = None;
    };
    fail(Some(|| answer("Server returned non-2xx status code: 503 Service Unavailable: ")));
    for _ in 0..4 {
        let e = data.get(15).unwrap_err();
        assert!(e.kind == Kind::Unreachable && e.message.contains("503"), "{e}");
    }
    // Neither the group nor the file counts as broken.
    fail(None);
    assert_eq!(data.get(15).unwrap().pixel(0, 0), Some([15, 0, 0]));
    // What the store says of one object, it says of that one.
    fail(Some(|| answer("status code: 403 Forbidden: <Error><Code>AccessDenied</Code></Error>")));
    let e = load("s3://away/0.parquet", None).unwrap_err();
    assert!(
        e.kind == Kind::Io && e.message.contains("forbids it: 403 Forbidden (AccessDenied)") && e.hint.is_some(),
        "{e}"
    );
    for (text, kind, says) in [
        (
            "status code: 403 Forbidden: <Code>ExpiredToken</Code>",
            Kind::Unreachable,
            "does not take the credentials (ExpiredToken)",
        ),
        ("status code: 404 Not Found: <Code>NoSuchBucket</Code>", Kind::NotFound, "there is no bucket `s3://away`"),
        ("status code: 404 Not Found", Kind::NotFound, "there is no such object"),
        ("Received redirect without LOCATION", Kind::Io, "another region"),
    ] {
        let e = said("s3://away/a/b", &object_store::Error::Generic { store: "S3", source: text.into() });
        assert!(e.kind == kind && e.message.contains(says), "{text}: {e}");
    }
}

#[test]
fn an_object_that_changes_is_noticed() {
    let (_, _) = bucket("changed", &[("a.bin", vec![1; 3 << 20])]);
    let (object, length) = CloudObject::open("s3://changed/a.bin").unwrap();
    assert_eq!((length, object.range(5, 3).unwrap()), (3 << 20, Bytes::from_static(&[1, 1, 1])));
    let store = buckets().lock().unwrap()["s3://changed"].store.clone();
    runtime().unwrap().block_on(store.put(&Path::parse("a.bin").unwrap(), vec![2; 3 << 20].into())).unwrap();
    let e = object.range(1 << 20, 10).unwrap_err();
    assert!(e.message.contains("changed while it was read"), "{e}");
    assert!(whole("s3://changed/a.bin", 1 << 20).unwrap_err().message.contains("larger than the limit"));
    assert_eq!(whole("s3://changed/a.bin", 4 << 20).unwrap().len(), 3 << 20);
}
