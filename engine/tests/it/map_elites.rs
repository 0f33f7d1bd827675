//! MAP-Elites over all classes: each class's best never gets worse, and is what the net says of the picture that is shown.
#![allow(clippy::unwrap_used)]

use crate::builders::{array, column, table};
use convscope_engine::data::Image;
use convscope_engine::probe::Probe;
use convscope_engine::probes::attack::map_elites::{Encoding, MapElites};
use convscope_engine::shapes::net::load;
use convscope_engine::show::Part;
use convscope_engine::subject::argmax;
use convscope_engine::{Input, Job, Subject};

#[test]
fn the_archive_never_gets_worse_and_is_judged_from_its_pictures() {
    let net = load().unwrap();
    for encoding in [Encoding::Direct, Encoding::Cppn] {
        let probe = MapElites::new().encoding(encoding).generations(12usize).offspring(8usize).show(10usize);
        let found = probe.run(&Subject::Model(net.clone()), &Input::None, &Job::new()).unwrap();
        let history = array(&found, "history");
        assert_eq!(history.len(), 12);
        assert!(history.windows(2).all(|h| h[1] >= h[0]), "{history:?}");
        assert!(history[11] > history[0], "evolution gets somewhere: {history:?}");
        let (sure, classes) = (array(&found, "confidence"), array(&found, "classes"));
        let seen = net.probabilities(found.array_named("images").unwrap()).unwrap();
        assert_eq!((sure.len(), seen.len()), (10, 10));
        for (p, class) in seen.iter().zip(&classes) {
            assert!((p[*class as usize] - sure[*class as usize]).abs() < 1e-5);
        }
        // Surest first.
        assert!(classes.windows(2).all(|c| sure[c[0] as usize] >= sure[c[1] as usize]));
        let middle = {
            let mut all = sure.clone();
            all.sort_by(f64::total_cmp);
            (all[4] + all[5]) / 2.0
        };
        assert!((middle - history[11]).abs() < 1e-5, "whole pixel values lose nothing in a PNG: {middle} {history:?}");
    }
}

/// Every offspring is judged for every class: a single generation already fills the archive, with the largest over it.
#[test]
fn a_class_keeps_the_best_of_all_that_were_judged() {
    let net = load().unwrap();
    let run = |generations: usize| {
        let probe = MapElites::new().generations(generations).offspring(6usize);
        array(&probe.run(&Subject::Model(net.clone()), &Input::None, &Job::new()).unwrap(), "confidence")
    };
    let (one, more) = (run(1), run(6));
    assert!(one.iter().all(|p| *p > 0.0) && one.iter().sum::<f64>() >= 1.0 - 1e-6, "at least one image's own sum");
    assert!(one.iter().zip(&more).all(|(a, b)| b >= a));
}

#[test]
fn a_second_net_says_what_it_sees_and_a_third_is_too_many() {
    let net = load().unwrap();
    let probe = MapElites::new().generations(4usize).show(10usize);
    let found = probe.run(&Subject::Models(vec![net.clone(), net.clone()]), &Input::None, &Job::new()).unwrap();
    let seen = net.probabilities(found.array_named("images").unwrap()).unwrap();
    let own = seen.iter().zip(array(&found, "classes")).filter(|(p, c)| argmax(p) == *c as usize).count();
    assert!(
        found.notes.iter().any(|n| n.contains(&format!("takes {own} of 10 for the same class"))),
        "{:?}",
        found.notes
    );
    assert_eq!(column(table(&found, "every class"), "confidence").len(), 10);
    let three = Subject::Models(vec![net.clone(), net.clone(), net]);
    assert!(probe.run(&three, &Input::None, &Job::new()).unwrap_err().message.contains("3 nets"));
}

/// Every class's own best never gets worse, and its confidence is that of the picture in the figure, saved as a PNG file and judged
/// as any photo is.
#[test]
fn pictures_saved_as_files_have_the_confidence_that_is_told() {
    let net = load().unwrap();
    let folder = tempfile::tempdir().unwrap();
    for encoding in [Encoding::Direct, Encoding::Cppn] {
        let run = |generations: usize| {
            let probe = MapElites::new().encoding(encoding).generations(generations).offspring(8usize).show(10usize);
            probe.run(&Subject::Model(net.clone()), &Input::None, &Job::new()).unwrap()
        };
        let archives = [2, 5, 9].map(run);
        for pair in archives.windows(2) {
            let (before, after) = (array(&pair[0], "confidence"), array(&pair[1], "confidence"));
            assert!(before.iter().zip(&after).all(|(b, a)| a >= b), "{before:?} {after:?}");
        }
        let last = &archives[2];
        let (sure, classes) = (array(last, "confidence"), array(last, "classes"));
        let Some(Part::Pictures(shown)) = last.parts.first() else { panic!("no pictures") };
        assert_eq!(shown.images.len(), 10);
        for ((picture, caption), class) in shown.images.iter().zip(classes) {
            let path = folder.path().join("one.png");
            picture.save_png(&path).unwrap();
            let x = Input::Image(Image::open(&path).unwrap()).prepared(&net).unwrap().x;
            let p = net.probabilities(&x).unwrap()[0][class as usize];
            assert!((p - sure[class as usize]).abs() < 1e-6, "{caption}: {p} for {}", sure[class as usize]);
            assert!(caption.ends_with(&format!("{:.1} %", 100.0 * p)), "{caption}");
        }
    }
}
