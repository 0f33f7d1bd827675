//! Tables as data sets: what formats give, what is read, what is broken, and by ranges from a server.

use crate::own_process;
use convscope_engine::data::{Attribute, Dataset, Image};
use convscope_engine::params::{Params, Value};
use convscope_engine::table::{LoadTable, index, load_table, of_shards, shards_of, sources};
use parquet::basic::{Compression, GzipLevel};
use parquet::data_type::ByteArrayType;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/tables/hf.parquet")
}

fn options(given: &[(&str, Value)]) -> LoadTable {
    let mut options = LoadTable::default();
    given.iter().for_each(|(name, value)| options.set(name, value).unwrap());
    options
}

fn texts(all: &[&str]) -> Value {
    Value::List(all.iter().map(|t| Value::Text(t.to_string())).collect())
}

fn load(name: &str, base: &Path, options: &LoadTable) -> Dataset {
    load_table(&[name.to_string()], base, options).unwrap()
}

fn colour(i: usize) -> [u8; 3] {
    [i as u8, 2 * i as u8, 255 - i as u8]
}

fn png(i: usize) -> Vec<u8> {
    Image::filled(4, 3, colour(i)).unwrap().encode_png().unwrap()
}

#[test]
fn a_table_of_hugging_face_is_what_pyarrow_wrote() {
    let options = options(&[("attributes", texts(&["size", "place"]))]);
    let data = load(&golden().to_string_lossy(), Path::new(""), &options);
    assert_eq!(
        (data.len(), data.labels(), data.attribute_names()),
        (12, ["ant", "bee", "cat"].map(String::from).to_vec(), vec!["place".to_string(), "size".into()])
    );
    // Forwards, backwards, from the middle: whatever is asked for, it is that row.
    for i in (0..12).chain((0..12).rev()).chain([8, 1, 11, 0]) {
        let item = data.item(i).unwrap();
        let label = (i != 5).then(|| ["ant", "bee", "cat"][i % 3].to_string());
        assert_eq!(item.label, label, "{i}");
        assert_eq!(item.attributes["size"], Attribute::Number(i as f64 / 4.0));
        assert_eq!(item.attributes["place"], Attribute::Text(["a", "b"][i % 2].into()));
        match data.get(i) {
            Ok(image) => {
                assert_eq!((image.width(), image.height(), image.pixel(3, 2)), (4, 3, Some(colour(i))));
                assert_eq!(image.label().map(str::to_string), label);
            }
            Err(e) if i == 7 => assert!(e.message.contains("row 7: not an image"), "{e}"),
            Err(e) => assert!(i == 9 && e.message == "row 9 has no image", "{e}"),
        }
    }
    let wrong = |given: &[(&str, Value)]| {
        load_table(&[golden().to_string_lossy().into_owned()], Path::new(""), &self::options(given)).unwrap_err()
    };
    let e = wrong(&[("image", Value::Text("imag".into()))]);
    assert!(e.message.ends_with("no image column `imag`"), "{e}");
    assert!(e.hint.unwrap().starts_with("did you mean `image`?"));
    assert!(wrong(&[("label", Value::Text("unused".into()))]).message.ends_with("no label column `unused`"));
    assert!(wrong(&[("image", Value::Text("size".into()))]).message.contains("neither images nor paths"));
}

/// A folder with the same nine images as files, as a manifest, and as a tar in WebDataset's form.
fn forms(root: &Path) {
    let mut manifest = "file;label;depth\n".to_string();
    let mut tar = tar::Builder::new(std::fs::File::create(root.join("set-00.tar")).unwrap());
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        tar.append_data(&mut header, name, bytes).unwrap();
    };
    for i in 0..9 {
        let label = ["ant", "bee"][i % 2];
        let file = format!("images/{label}/{i}.png");
        std::fs::create_dir_all(root.join(&file).parent().unwrap()).unwrap();
        std::fs::write(root.join(&file), png(i)).unwrap();
        manifest += &format!("{file};{label};{}\n", i * 10);
        add(&format!("train/{i:04}.png"), &png(i));
        add(&format!("train/{i:04}.cls"), (i % 2).to_string().as_bytes());
        add(&format!("train/{i:04}.json"), format!("{{\"depth\": {}}}", i * 10).as_bytes());
    }
    tar.finish().unwrap();
    std::fs::write(root.join("list.csv"), manifest).unwrap();
}

#[test]
fn folders_manifests_and_tars_give_the_same_images() {
    let folder = tempfile::tempdir().unwrap();
    forms(folder.path());
    let named = options(&[("attributes", texts(&["depth"])), ("names", texts(&["ant", "bee"]))]);
    for name in ["list.csv", "set-{00..00}.tar", "*.tar"] {
        let data = load(name, folder.path(), &named);
        assert_eq!((data.len(), data.labels()), (9, vec!["ant".to_string(), "bee".into()]), "{name}");
        for i in [4, 0, 8, 1] {
            let image = data.get(i).unwrap();
            assert_eq!((image.pixel(0, 0), image.label()), (Some(colour(i)), Some(["ant", "bee"][i % 2])), "{name}");
            assert_eq!(image.attributes()["depth"], Attribute::Number(i as f64 * 10.0), "{name}");
        }
    }
    let data = load("images", folder.path(), &LoadTable::default());
    // Sorted by path: ant 0 2 4 6 8, bee 1 3 5 7.
    assert_eq!((data.len(), data.get(5).unwrap().pixel(0, 0), data.label(5)), (9, Some(colour(1)), Some("bee".into())));
    let e = load_table(&["ftp://b/*.parquet".into()], Path::new(""), &named).unwrap_err();
    assert!(e.message.contains("reads no `ftp` addresses") && e.hint.is_some());
    if cfg!(not(feature = "cloud")) {
        for (name, what) in [("s3://b/*.parquet", "table"), ("gs://b/a.tar", "table"), ("list.csv", "image")] {
            std::fs::write(folder.path().join("list.csv"), "file\ns3://b/0.png\n").unwrap();
            let made = load_table(&[name.into()], folder.path(), &LoadTable::default());
            let e = made.and_then(|data| data.get(0)).unwrap_err();
            assert!(e.message.contains("this build reads no buckets"), "{what}: {e}");
            assert!(e.hint.unwrap().contains("--features cloud"));
        }
    }
    let e = load_table(&["none*.parquet".into()], folder.path(), &named).unwrap_err();
    assert!(e.message.contains("no table at") && e.hint.is_some(), "{e}");
}

#[test]
fn an_index_lists_parts_of_files_and_stands_for_them() {
    let folder = tempfile::tempdir().unwrap();
    forms(folder.path());
    std::fs::copy(golden(), folder.path().join("a.parquet")).unwrap();
    let plain = LoadTable::default();
    let files = sources::files(&["a.parquet".into(), "set-00.tar".into()], folder.path()).unwrap();
    let shards = shards_of(&files, &plain, Some(5)).unwrap();
    let places: Vec<_> = shards.iter().map(|s| (s.first_row, s.rows, s.first_image)).collect();
    assert_eq!(places, [(0, 5, 0), (5, 5, 5), (10, 2, 10), (0, 5, 12), (5, 4, 17)]);
    let path = folder.path().join("shards.parquet");
    std::fs::write(&path, index::encode(&shards, None, folder.path()).unwrap()).unwrap();
    let read = index::decode(&path.to_string_lossy()).unwrap().unwrap();
    assert_eq!((read.shards, read.filter), (shards, None));
    assert_eq!(index::decode(&golden().to_string_lossy()).unwrap(), None);
    let data = load("shards.parquet", folder.path(), &plain);
    assert_eq!((data.len(), data.get(11).unwrap().pixel(0, 0)), (21, Some(colour(11))));
    assert_eq!(data.get(20).unwrap().pixel(0, 0), Some(colour(8)));
    // However the files are cut, it is the same data set.
    let whole = of_shards(&["shards".into()], shards_of(&files, &plain, None).unwrap(), &plain).unwrap();
    assert_eq!(data.identity(), whole.identity());
    // A file that is gone breaks its images, not those of the others.
    std::fs::remove_file(folder.path().join("a.parquet")).unwrap();
    let data = load("shards.parquet", folder.path(), &plain);
    for _ in 0..3 {
        let e = data.get(3).unwrap_err();
        assert!(e.message.contains("a.parquet") && e.message.contains("no such file"), "{e}");
    }
    assert_eq!(data.get(12).unwrap().pixel(0, 0), Some(colour(0)));
}

#[test]
fn a_damaged_row_group_breaks_its_own_rows() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = std::fs::read(golden()).unwrap();
    // The images of the second row group, rows 5 to 9: their packed values no longer unpack.
    let file = SerializedFileReader::new(std::fs::File::open(golden()).unwrap()).unwrap();
    let at = file.metadata().row_group(1).column(0).dictionary_page_offset().unwrap() as usize;
    bytes[at + 30..at + 150].fill(0xff);
    std::fs::write(folder.path().join("a.parquet"), &bytes).unwrap();
    let data = load("a.parquet", folder.path(), &LoadTable::default());
    let broken: Vec<usize> = (0..12).filter(|i| data.get(*i).is_err()).collect();
    assert_eq!(broken, [5, 6, 7, 8, 9]);
}

#[test]
fn a_label_that_cannot_be_read_breaks_its_image() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = std::fs::read(golden()).unwrap();
    let file = SerializedFileReader::new(std::fs::File::open(golden()).unwrap()).unwrap();
    // The labels of the first row group, rows 0 to 4; their images are whole.
    let group = file.metadata().row_group(0);
    let label = group.columns().iter().find(|c| c.column_path().string() == "label").unwrap();
    let (start, length) = label.byte_range();
    bytes[start as usize..(start + length) as usize].fill(0xff);
    std::fs::write(folder.path().join("a.parquet"), &bytes).unwrap();
    let data = load("a.parquet", folder.path(), &LoadTable::default());
    let broken: Vec<usize> = (0..12).filter(|i| data.get(*i).is_err()).collect();
    assert_eq!(broken, [0, 1, 2, 3, 4, 7, 9]);
    assert!(data.get(2).unwrap_err().message.contains("its label"), "{}", data.get(2).unwrap_err());
}

/// Answers requests for parts of the files in a folder, the first two of them with an error; the addresses and ranges asked.
fn serve(folder: PathBuf) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = answer(stream, &folder, &seen);
        }
    });
    (address, asked)
}

fn answer(stream: TcpStream, folder: &Path, asked: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut line, mut range) = (String::new(), None);
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_string();
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        if let Some(text) = header.to_ascii_lowercase().strip_prefix("range: bytes=") {
            let (a, b) = text.trim().split_once('-').unwrap();
            range = Some((a.parse::<usize>().unwrap(), b.parse::<usize>().unwrap()));
        }
    }
    asked.lock().unwrap().push(format!("{path} {range:?}"));
    let mut to = stream;
    let Ok(bytes) = std::fs::read(folder.join(&path)) else {
        return write!(to, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    if asked.lock().unwrap().len() <= 2 {
        return write!(to, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    let Some((a, b)) = range.filter(|_| !path.contains("whole")) else {
        write!(to, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", bytes.len())?;
        return to.write_all(&bytes);
    };
    let part = &bytes[a..=b.min(bytes.len() - 1)];
    let total = bytes.len();
    write!(
        to,
        "HTTP/1.1 206 Partial\r\nContent-Range: bytes {a}-{b}/{total}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        part.len()
    )?;
    to.write_all(part)?;
    to.flush()?;
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).map(|_| ())
}

#[test]
fn addresses_are_read_by_ranges() {
    let folder = tempfile::tempdir().unwrap();
    forms(folder.path());
    std::fs::copy(golden(), folder.path().join("a.parquet")).unwrap();
    std::fs::copy(golden(), folder.path().join("whole.parquet")).unwrap();
    let (address, asked) = serve(folder.path().to_path_buf());
    for (name, i) in [("a.parquet", 8), ("set-00.tar", 6), ("list.csv", 3)] {
        let data = load(&format!("{address}/{name}"), Path::new(""), &LoadTable::default());
        assert_eq!(data.get(i).unwrap().pixel(0, 0), Some(colour(i)), "{name}");
    }
    assert!(asked.lock().unwrap().iter().all(|a| !a.ends_with("None")));
    let e = load_table(&[format!("{address}/none.parquet")], Path::new(""), &LoadTable::default()).unwrap_err();
    assert!(e.message.contains("404"), "{e}");
    let e = load_table(&[format!("{address}/whole.parquet")], Path::new(""), &LoadTable::default()).unwrap_err();
    assert!(e.message.contains("does not serve parts") && e.hint.is_some(), "{e}");
}

/// A Parquet file of one image of `length` zeros, packed with gzip.
fn zeros(path: &Path, length: usize) {
    let schema = Arc::new(parse_message_type("message m { required binary image; }").unwrap());
    let packed = Compression::GZIP(GzipLevel::default());
    let properties = WriterProperties::builder().set_compression(packed).set_dictionary_enabled(false);
    // No statistics: they would hold the image.
    let properties = properties.set_statistics_enabled(EnabledStatistics::None).build();
    let mut file =
        SerializedFileWriter::new(std::fs::File::create(path).unwrap(), schema, Arc::new(properties)).unwrap();
    let mut group = file.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&[vec![0; length].into()], None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    file.close().unwrap();
}

/// The groups of seven bits of a number of Thrift's compact protocol, of which four take up to 67,108,863.
fn four_groups(number: u32) -> [u8; 4] {
    let number = 2 * number;
    [0, 7, 14, 21].map(|shift| (number >> shift) as u8 & 0x7f | if shift < 21 { 0x80 } else { 0 })
}

#[test]
fn pages_that_unpack_to_more_than_the_memory_are_not_unpacked() {
    let test = "tables::pages_that_unpack_to_more_than_the_memory_are_not_unpacked";
    let Some(_) = own_process::part() else {
        return own_process::passes(&mut own_process::again(test, "pages"));
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let length = 16 << 20;
    zeros(&path, length);
    let error = || load("a.parquet", folder.path(), &LoadTable::default()).get(0).unwrap_err();
    // At the memory that there is by default it is read, and is no image.
    assert!(error().message.contains("not an image"), "{}", error());
    // 32 MB: pages of 16 MB. The value has its length before it.
    convscope_engine::limits::set_memory(32 << 20);
    let said = error();
    assert!(said.message.contains("a page of a Parquet column of 17 MB, more than the limit of 16 MB"), "{said}");
    assert!(!said.message.contains("damaged"), "{said}");
    assert!(said.hint.is_some_and(|h| h.contains("`--memory 34`")));
    convscope_engine::limits::set_memory(36 << 20);
    assert!(error().message.contains("not an image"), "{}", error());
    // A column that states more than the memory, and more than its bytes can hold.
    convscope_engine::limits::set_memory(8 << 20);
    let said = error();
    assert!(said.message.contains("a column of a Parquet row group of 17 MB, more than the limit of 8 MB"), "{said}");
    // A header that states less than the page unpacks to.
    let mut bytes = std::fs::read(&path).unwrap();
    let stated = four_groups(length as u32 + 4);
    let at = bytes.windows(4).position(|w| w == stated).unwrap();
    bytes[at..at + 4].copy_from_slice(&four_groups(2 << 20));
    std::fs::write(&path, &bytes).unwrap();
    convscope_engine::limits::set_memory(20 << 20);
    let said = error();
    assert!(said.message.contains("a page of a Parquet column of 11 MB, more than the limit of 10 MB"), "{said}");
}
