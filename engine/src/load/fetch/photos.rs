//! Twenty labelled photos from ImageNet's validation set, as the package foolbox (MIT; Rauber et al. 2017) ships them.

use std::path::PathBuf;

use super::cache::folder;
use super::imagenet_labels;
use super::pip::Package;
use crate::data::Image;
use crate::error::{Error, Result, did_you_mean};
use crate::model::card::Class;
use crate::seal::broker::Want;
use crate::seal::fetched_elsewhere;

const FOOLBOX: Package = Package {
    name: "foolbox",
    version: "3.3.4",
    sha256: "11049d515d38e765e206a73ace9cc648b81a0d6d1da9ad9057e149ee117989cb",
};

/// A photo that comes with its ImageNet class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The name that `sample_image` takes.
    pub name: &'static str,
    /// The index of its class among ImageNet's 1000.
    pub class: usize,
}

const fn sample(name: &'static str, class: usize) -> Sample {
    Sample { name, class }
}

/// In the order of the package's file names.
const SAMPLES: [Sample; 20] = [
    sample("bull_mastiff", 243),
    sample("folding_chair", 559),
    sample("beaker", 438),
    sample("horse_chestnut", 990),
    sample("strawberry", 949),
    sample("thatch", 853),
    sample("jeep", 609),
    sample("jeep_2", 609),
    sample("yurt", 915),
    sample("bottlecap", 455),
    sample("drum", 541),
    sample("loafer", 630),
    sample("prayer_rug", 741),
    sample("cannon", 471),
    sample("spoonbill", 129),
    sample("goose", 99),
    sample("dalmatian", 251),
    sample("bald_eagle", 22),
    sample("leafhopper", 317),
    sample("dung_beetle", 305),
];

impl Sample {
    /// The photo's file name in the package, without its ending.
    pub fn file(&self) -> String {
        let number = SAMPLES.iter().position(|s| s == self).unwrap_or_default();
        format!("imagenet_{number:02}_{}", self.class)
    }

    /// The photo, with its label (ImageNet's name of the class) and path; fetched where needed.
    ///
    /// # Errors
    /// As [`super::fetch`].
    pub fn load(&self, report: &dyn Fn(&str)) -> Result<Image> {
        let path = self.path(report)?;
        let labels = imagenet_labels(report)?;
        let label = labels.get(self.class).map(|l| Class::from_label(l).name);
        Ok(Image::open(&path)?.with_label(label))
    }

    /// The photo's file in the cache; all are fetched where it is not there.
    fn path(&self, report: &dyn Fn(&str)) -> Result<PathBuf> {
        let folder = folder("photos")?;
        let path = folder.join(format!("{}.jpg", self.file()));
        if !path.is_file() && !fetched_elsewhere(&Want::Photos)? {
            let files = SAMPLES.map(|s| format!("foolbox/data/{}.jpg", s.file()));
            let photos = FOOLBOX.files(files.each_ref().map(String::as_str), report)?;
            for (sample, bytes) in SAMPLES.iter().zip(&photos) {
                crate::atomic::write(folder.join(format!("{}.jpg", sample.file())), bytes)?;
            }
        }
        Ok(path)
    }
}

/// The photos that [`sample_image`] knows.
pub fn sample_images() -> &'static [Sample] {
    &SAMPLES
}

/// A labelled photo by its name (`dalmatian`) or file name (`imagenet_16_251.jpg`).
///
/// # Errors
/// Where there is none of that name; where it cannot be fetched.
pub fn sample_image(name: &str, report: &dyn Fn(&str)) -> Result<Image> {
    let plain = name.trim().trim_end_matches(".jpg").to_lowercase().replace([' ', '-'], "_");
    match SAMPLES.iter().find(|s| s.name == plain || s.file() == plain) {
        Some(sample) => sample.load(report),
        None => {
            let names = SAMPLES.iter().map(|s| s.name);
            let all = format!("there are {}", names.clone().collect::<Vec<_>>().join(", "));
            let hint = did_you_mean(name, names).map_or(all.clone(), |close| format!("{close} {all}"));
            Err(Error::not_found(format!("no sample image `{name}`")).hint(hint))
        }
    }
}
