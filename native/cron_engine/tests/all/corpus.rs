//! Plays every file of the fuzz targets' seed corpus through their checks, on any toolchain. An
//! input that ever made a fuzz target fail is kept there, and so is a test from then on.

use crate::checks;
use crate::checks::page::Outcome;
use crate::checks::steps::Run;
use arbitrary::{Arbitrary, Unstructured};
use std::path::{Path, PathBuf};

/// The files of a target's seeds, each with its name.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../test/rust/fuzz/seeds").join(target);
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap())
    };
    // Miri takes minutes for what is long.
    let short = |(_, bytes): &(String, Vec<u8>)| !cfg!(miri) || bytes.len() <= 400;
    paths.into_iter().map(read).filter(short).collect()
}

#[test]
fn page_seeds_pass_the_checks_and_are_taken_or_refused_as_their_names_say() {
    let seeds = seeds("page");
    assert!(seeds.len() >= 50, "{} seeds", seeds.len());
    for (name, body) in seeds {
        let Outcome { page, latest } = checks::page::check(&body);
        match name.split_once('_').unwrap().0 {
            "good" => assert!(page && latest, "{name}: a page, and an answer to both questions"),
            "page" => assert!(page && !latest, "{name}: a page, but no latest result"),
            "latest" => assert!(!page && latest, "{name}: a latest result, but no page"),
            "bad" => assert!(!page && !latest, "{name}: nothing of use"),
            other => panic!("{other} is no kind of seed"),
        }
    }
}

#[test]
fn engine_seeds_pass_the_checks() {
    let seeds = seeds("engine");
    assert!(seeds.len() >= 10, "{} seeds", seeds.len());
    for (name, bytes) in seeds {
        let run = Run::arbitrary_take_rest(Unstructured::new(&bytes));
        checks::engine::check(&run.unwrap_or_else(|error| panic!("{name}: {error}")));
    }
}
