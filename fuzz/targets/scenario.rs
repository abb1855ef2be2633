//! Any bytes as a scenario.toml → a plan, or an error that says what and the way out.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::{Corpus, fuzz_target};
use lockproof::config::{Surroundings, plan_in};
use lockproof::{cli, plan};
use tempfile::TempDir;

/// A scenario's folder with an SQL file, and a snapshot beside it.
fn site() -> &'static TempDir {
    static SITE: OnceLock<TempDir> = OnceLock::new();
    SITE.get_or_init(|| {
        let site = tempfile::tempdir().expect("a temporary folder");
        for (name, content) in [
            (
                "snapshots/listings/snapshot.toml",
                "name = \"listings\"\n[source]\nkind = \"generator\"\nfiles = [\"g.sql\"]\n\
                 [variables]\nrows = 1_000_000\n",
            ),
            ("s/01.sql", "ALTER TABLE listings ADD note text;\n"),
            (
                "s/02.sql",
                "UPDATE listings SET note = '' WHERE id > ${after} LIMIT ${batch_size};\n",
            ),
        ] {
            let path = site.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
            fs::write(path, content).expect("writable");
        }
        site
    })
}

/// Files that a scenario may name, but whose reading has no end or has an effect.
const NOT_FILES: [&str; 3] = ["/dev/", "/proc/", "/sys/"];

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let text = String::from_utf8_lossy(bytes);
    if NOT_FILES.iter().any(|name| text.contains(name)) {
        return Corpus::Reject;
    }
    let folder = site().path().join("s");
    fs::write(folder.join("scenario.toml"), bytes).expect("writable");
    let asked = cli::Run {
        paths: vec![folder.clone()],
        ..cli::Run::default()
    };
    let surroundings = Surroundings {
        working_folder: folder,
        home: Some(PathBuf::from("/home/u")),
        cache_home: None,
        path: None,
        root: false,
    };
    match plan_in(&asked, &surroundings) {
        Ok(planned) => {
            let steps = &planned.plan.steps;
            assert!(!steps.is_empty() && planned.plan.replays > 0);
            for (index, step) in steps.iter().enumerate() {
                assert!(steps[..index].iter().all(|other| other.name != step.name));
                if let plan::Work::Sql(work) = &step.work {
                    for statement in &work.statements {
                        assert_eq!(work.text[statement.span.clone()], statement.text);
                    }
                }
            }
        }
        Err(error) => assert!(!error.story().is_empty()),
    }
    Corpus::Keep
});
