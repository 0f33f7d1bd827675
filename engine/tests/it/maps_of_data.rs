//! Maps over crops of a photo and over the images of a data set: where crops are put back, what is stacked, written, gone on with.
#![allow(clippy::unwrap_used)]

use crate::builders::{Net, Planted, array, card};
use convscope_engine::data::{Dataset, Image, Preprocess, Resize, Size, npy};
use convscope_engine::params::Value;
use convscope_engine::probe::{Probe, ProbeArg, maps};
use convscope_engine::probes::attribution::multi_crop::MultiCrop;
use convscope_engine::probes::find;
use convscope_engine::show::Encoded;
use convscope_engine::tensor::to_f64;
use convscope_engine::{Artifact, Input, Job, Model, Result, Subject};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const SIDE: usize = 14;

fn net(resize: Resize) -> Model {
    let mut n = Net::new(&[3, SIDE, SIDE], 0.1);
    n.head(4);
    let mut card = card(4, 3, [SIDE, SIDE]);
    card.preprocess.as_mut().unwrap().resize = resize;
    n.model().with_card(card)
}

fn photo(width: usize, height: usize, seed: usize) -> Image {
    let pixels = (0..3 * width * height).map(|i| ((i * 37 + seed * 101) % 251) as u8).collect();
    Image::new(width, height, pixels).unwrap()
}

/// A probe whose map is the input itself: what is put back must be the photo.
fn itself() -> ProbeArg {
    Planted::by(|_, x| x.clone())
}

fn cropped(resize: Resize, photo: &Image, flips: bool) -> Artifact {
    let probe = MultiCrop { probe: itself(), flips };
    let on = Subject::class_at(&net(resize), 1).unwrap();
    probe.run(&on, &Input::Image(photo.clone()), &Job::new()).unwrap()
}

/// The resized photo in net units, its largest magnitude over channels.
fn plane(resize: Resize, photo: &Image, size: Size) -> Vec<f64> {
    let p = Preprocess { size, resize: Resize::Direct, ..net(resize).card().preprocess().unwrap().clone() };
    to_f64(&p.apply(photo).unwrap().abs().unwrap().max(0).unwrap()).unwrap()
}

#[test]
fn crops_and_mirror_images_come_back_to_where_they_were_cut() {
    // 32 x 20: the short side becomes 16, the long one 26; crops of 14 overlap in the middle.
    let wide = photo(32, 20, 1);
    for flips in [true, false] {
        let found = cropped(Resize::Short(16), &wide, flips);
        let (map, count) = (array(&found, "multi_crop"), array(&found, "count"));
        let want = plane(Resize::Short(16), &wide, Size { height: 16, width: 26 });
        assert_eq!(map.len(), 16 * 26);
        assert!(map.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-6), "flips {flips}");
        let by_hand = |y: usize, x: usize| {
            let within = |top: usize, left: usize| (top..top + 14).contains(&y) && (left..left + 14).contains(&x);
            let crops = [within(0, 0), within(0, 12), within(2, 0), within(2, 12), within(1, 6)];
            crops.into_iter().filter(|c| *c).count() as f64 * if flips { 2.0 } else { 1.0 }
        };
        for (i, c) in count.iter().enumerate() {
            assert_eq!(*c, by_hand(i / 26, i % 26), "{} {}", i / 26, i % 26);
        }
    }
}

/// A net whose card resizes to its input sees crops of 8/7 of it; a tensor's map comes back at the tensor's size.
#[test]
fn nets_without_a_margin_and_tensors_are_enlarged() {
    let square = photo(20, 20, 2);
    let found = cropped(Resize::Direct, &square, true);
    let want = plane(Resize::Direct, &square, Size { height: 16, width: 16 });
    assert!(array(&found, "multi_crop").iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-6));
    let model = net(Resize::Direct);
    let on = Subject::class_at(&model, 1).unwrap();
    let x = convscope_engine::tensor::tensor(vec![0.75; 3 * SIDE * SIDE], &[3, SIDE, SIDE]).unwrap();
    let flat = MultiCrop { probe: itself(), flips: true }.run(&on, &Input::Tensor(x), &Job::new()).unwrap();
    let map = array(&flat, "multi_crop");
    assert_eq!(map.len(), SIDE * SIDE);
    assert!(map.iter().all(|v| (v - 0.75).abs() < 1e-6));
}

/// Where the crops of a wide photo leave a gap, the map says so.
#[test]
fn places_in_no_crop_are_not_a_number() {
    let found = cropped(Resize::Short(16), &photo(120, 20, 3), true);
    let (map, count) = (array(&found, "multi_crop"), array(&found, "count"));
    assert!(map.iter().zip(&count).all(|(v, c)| v.is_nan() == (*c == 0.0)));
    assert!(count.contains(&0.0) && found.notes.iter().any(|n| n.contains("lies in no crop")), "{:?}", found.notes);
}

/// A net means the class whose probability, averaged over the crops, is the largest.
#[test]
fn a_net_means_its_class_over_all_crops() {
    let model = net(Resize::Short(16));
    let image = photo(23, 31, 5);
    let asked = Arc::new(std::sync::Mutex::new(None));
    let kept = asked.clone();
    let inner = Planted::by(move |on, x| {
        *kept.lock().unwrap() = Some((on.clone(), x.dims()[0]));
        x.clone()
    });
    let probe = MultiCrop { probe: inner, flips: true };
    let found = probe.run(&Subject::Model(model.clone()), &Input::Image(image), &Job::new()).unwrap();
    let crops = found.array_named("crops").unwrap().dims()[0];
    assert_eq!(crops, 10);
    let (Subject::Class { index, .. }, _) = asked.lock().unwrap().clone().unwrap() else { panic!() };
    assert!(index < 4 && found.title.contains(&format!("class{index}")), "{}", found.title);
}

/// Files in memory.
#[derive(Default)]
pub struct Files(pub BTreeMap<String, Vec<u8>>);

impl maps::Folder for Files {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.0.get(name).cloned())
    }
    fn has(&self, name: &str) -> Result<bool> {
        Ok(self.0.contains_key(name))
    }
    fn write(&mut self, name: &str, file: Encoded) -> Result<()> {
        self.0.insert(name.to_string(), file.bytes);
        Ok(())
    }
}

fn set(n: usize) -> Dataset {
    Dataset::from_images("photos", (0..n).map(|i| photo(20, 20, i).with_label(Some(format!("class{}", i % 4)))))
}

#[test]
fn a_data_set_s_maps_are_those_of_its_images() {
    let model = net(Resize::Direct);
    let (on, data) = (Subject::Model(model), set(5));
    let gradient = find("gradient").unwrap().build(&[], &BTreeMap::new()).unwrap();
    let all = gradient.ask(&on, &Input::Data(data.clone()), &Job::new()).unwrap();
    let maps = all.array_named("maps").unwrap();
    assert_eq!(maps.dims(), [5, 3, SIDE, SIDE]);
    let mut files = Files::default();
    gradient.ask_each(&on, &Input::Data(data.clone()), &mut files, &Job::new()).unwrap();
    for i in 0..5 {
        let one = gradient.ask(&on, &Input::Image(data.get(i).unwrap()), &Job::new()).unwrap();
        let want = to_f64(one.value().unwrap()).unwrap();
        assert!(to_f64(&maps.get(i).unwrap()).unwrap() == want, "image {i}");
        // Files hold f32.
        let read = to_f64(&npy::read(&files.0[&format!("{i}.npy")]).unwrap()).unwrap();
        assert!(read.len() == want.len() && read.iter().zip(&want).all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs()));
    }
    let listed = String::from_utf8(files.0["maps.csv"].clone()).unwrap();
    assert_eq!(listed.lines().count(), 6, "{listed}");
    // Too many to stack: a folder is asked for.
    let mut job = Job::new();
    job.memory = 2000;
    let error = gradient.ask(&on, &Input::Data(data.clone()), &job).unwrap_err();
    assert!(
        error.message.contains("the maps of 5 images") && error.hint.unwrap().contains("folder"),
        "{}",
        error.message
    );
    // What makes no map of each image is refused.
    let error = find("pca").unwrap().build(&[], &BTreeMap::new()).unwrap();
    let error = error.ask_each(&on, &Input::Data(data), &mut Files::default(), &Job::new()).unwrap_err();
    assert!(error.message.contains("makes no map of each image"), "{error}");
}

/// A probe whose map is its input, which counts the images it was asked about and stops the work at one of them.
fn counting(asked: &Arc<AtomicUsize>, job: &Job, stop_at: usize) -> ProbeArg {
    let (asked, job) = (asked.clone(), job.clone());
    Planted::by(move |_, x| {
        if asked.fetch_add(1, Ordering::SeqCst) + 1 == stop_at {
            job.signal.stop();
        }
        x.clone()
    })
}

/// A run that was stopped in the middle goes on: what is there is not asked again, and the end is the same.
#[test]
fn a_stopped_run_goes_on_where_it_was() {
    let (on, input) = (Subject::class_at(&net(Resize::Direct), 0).unwrap(), Input::Data(set(40)));
    let asked = Arc::new(AtomicUsize::new(0));
    let job = Job::new();
    let counting = |stop_at: usize| counting(&asked, &job, stop_at);
    let mut files = Files::default();
    let first = counting(30).ask_each(&on, &input, &mut files, &job).unwrap();
    assert!(!first.complete && first.notes[0].contains("stopped after 30 of 40"), "{:?}", first.notes);
    assert_eq!(files.0.keys().filter(|k| k.ends_with(".npy")).count(), 30);
    job.signal.reset();
    asked.store(0, Ordering::SeqCst);
    let second = counting(usize::MAX).ask_each(&on, &input, &mut files, &job).unwrap();
    assert!(second.complete && second.notes.iter().any(|n| n == "30 maps were there already"), "{:?}", second.notes);
    // Those that the contact sheet shows are asked again, and the ten that were missing.
    assert_eq!(asked.load(Ordering::SeqCst), 24 + 10);
    let mut whole = Files::default();
    counting(usize::MAX).ask_each(&on, &input, &mut whole, &job).unwrap();
    for (name, bytes) in whole.0.iter().filter(|(name, _)| name.ends_with(".npy")) {
        assert!(&files.0[name] == bytes, "{name}");
    }
    // Another question does not mix with these.
    let other = Subject::class_at(&net(Resize::Direct), 1).unwrap();
    let error = counting(usize::MAX).ask_each(&other, &input, &mut files, &job).unwrap_err();
    assert!(error.message.contains("another question: other subject") && error.hint.is_some(), "{error}");
    let flips: BTreeMap<String, Value> = [("flips".to_string(), Value::Bool(false))].into();
    let probe = find("multi_crop").unwrap().build(&[], &flips).unwrap();
    assert!(probe.ask_each(&on, &input, &mut files, &job).unwrap_err().message.contains("other probe"));
}

/// Files in memory that are the parts of a Parquet table.
#[derive(Default)]
struct Columns(Files);

impl maps::Folder for Columns {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.0.read(name)
    }
    fn has(&self, name: &str) -> Result<bool> {
        self.0.has(name)
    }
    fn in_columns(&self) -> bool {
        true
    }
    fn write(&mut self, name: &str, file: Encoded) -> Result<()> {
        self.0.write(name, file)
    }
}

/// The image's number, the map's shape and its values, of each row of a part.
fn rows(part: &[u8]) -> Vec<(i64, [i64; 3], Vec<f32>)> {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::{ListAccessor, RowAccessor};
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, part).unwrap();
    let reader = SerializedFileReader::new(file).unwrap();
    let row = |row: parquet::record::Row| {
        let list = row.get_list(7).unwrap();
        let values = (0..list.len()).map(|i| list.get_float(i).unwrap()).collect();
        (row.get_long(0).unwrap(), [4, 5, 6].map(|c| row.get_long(c).unwrap()), values)
    };
    reader.get_row_iter(None).unwrap().map(|r| row(r.unwrap())).collect()
}

/// In parts of a Parquet table: a stopped run goes on with the part that was not full.
#[test]
fn parts_of_a_table_hold_the_maps_and_a_stopped_run_goes_on() {
    let mut large = Net::new(&[3, 512, 512], 0.1);
    large.head(4);
    let model = large.model().with_card(card(4, 3, [512, 512]));
    let (on, input) = (Subject::class_at(&model, 0).unwrap(), Input::Data(set(36)));
    let (asked, job) = (Arc::new(AtomicUsize::new(0)), Job::new());
    let counting = |stop_at: usize| counting(&asked, &job, stop_at);
    let mut table = Columns::default();
    let first = counting(33).ask_each(&on, &input, &mut table, &job).unwrap();
    assert!(!first.complete && first.notes.iter().any(|n| n.contains("the last 3 maps")), "{:?}", first.notes);
    // Ten maps of 3 x 512 x 512 are a part.
    let parts = |of: &Columns| of.0.0.keys().filter(|k| k.ends_with(".parquet")).cloned().collect::<Vec<_>>();
    assert_eq!(parts(&table), ["part-0.parquet", "part-1.parquet", "part-2.parquet"]);
    job.signal.reset();
    asked.store(0, Ordering::SeqCst);
    let second = counting(usize::MAX).ask_each(&on, &input, &mut table, &job).unwrap();
    assert!(second.complete && second.notes.iter().any(|n| n == "30 maps were there already"), "{:?}", second.notes);
    // All but those that are there and not shown.
    assert_eq!(asked.load(Ordering::SeqCst), 36 - 6);
    assert_eq!(parts(&table).len(), 4);
    assert_eq!(second.table().unwrap().len(), 36);
    for (part, name) in parts(&table).iter().enumerate() {
        let all = rows(&table.0.0[name]);
        assert_eq!(all.len(), if part < 3 { 10 } else { 6 });
        for (k, (image, shape, values)) in all.iter().enumerate() {
            assert_eq!((*image, *shape), ((10 * part + k) as i64, [3, 512, 512]));
            assert_eq!(values.len(), 3 * 512 * 512);
        }
    }
    let (_, _, values) = &rows(&table.0.0["part-2.parquet"])[4];
    let Input::Data(data) = &input else { panic!() };
    let want = to_f64(&model.card().preprocess().unwrap().apply(&data.get(24).unwrap()).unwrap()).unwrap();
    assert!(values.iter().zip(&want).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-5));
    // Each part is read again by others as a table; another question does not mix with it.
    let other = Subject::class_at(&model, 1).unwrap();
    let error = counting(usize::MAX).ask_each(&other, &input, &mut table, &job).unwrap_err();
    assert!(error.message.contains("another question: other subject"), "{error}");
    assert!(table.0.0.contains_key("_maps.json") && !table.0.0.contains_key("maps.csv"));
}
