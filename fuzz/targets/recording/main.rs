//! Any bytes as a recording → a report in both forms, or an error that names the line.
#![no_main]

mod lines;
#[path = "../../../tests/any_recording/numbers.rs"]
mod numbers;

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use lockproof::analyse::Analyst;
use lockproof::judge::judge;
use lockproof::recording::read::Reader;
use lockproof::report::{build, table};

fuzz_target!(|bytes: &[u8]| {
    if let Err(error) = report(bytes) {
        let story = error.story();
        assert!(
            story.contains("the recording `r`") || story.contains("`r` is"),
            "{story}"
        );
    }
});

fn report(bytes: &[u8]) -> lockproof::Result<()> {
    let mut reader = Reader::new(bytes, "r")?;
    let policy = reader.header().policy.clone();
    let mut analyst = Analyst::new(reader.header().clone());
    for event in reader.by_ref() {
        analyst.push(event?);
    }
    let timeline = analyst.finish();
    let judgement = judge(&timeline, &policy);
    assert_eq!(judgement.steps.len(), timeline.header.steps.len());
    let report = build::build(&timeline, &judgement, &policy);
    for palette in [table::Palette::Plain, table::Palette::Ansi] {
        assert!(!table::render(&report, palette).is_empty());
    }
    let json = serde_json::to_vec(&report).expect("a report is JSON");
    assert!(!json.is_empty());
    Ok(())
}

// Every other change is one of lines and numbers: of bytes alone, few leave a line readable.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    if seed.is_multiple_of(2) {
        lines::mutate(data, size, max_size, seed / 2)
    } else {
        fuzzer_mutate(data, size, max_size)
    }
});
