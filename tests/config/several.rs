//! Several scenarios of one command line: which there are, what is written for each, and what is refused.

use std::path::{Path, PathBuf};

use lockproof::config::Output;
use lockproof::config::outputs::Face;
use lockproof::config::several::Several;

use super::Site;

const ONE: &str = "snapshot = \"listings\"\n[[steps]]\nfile = \"01.sql\"\n";

/// Scenarios `a` and `b`, and `c/a` with the name of the first.
fn site() -> Site {
    let site = Site::new();
    for folder in ["a", "b", "c/a"] {
        site.file(&format!("{folder}/scenario.toml"), ONE);
        site.file(
            &format!("{folder}/01.sql"),
            "ALTER TABLE listings ADD x int;\n",
        );
    }
    site.file("plain/1.sql", "ALTER TABLE listings ADD y int;\n");
    site.file("plain/2.sql", "ALTER TABLE listings ADD z int;\n");
    site.file("s/reports/kept.json", "");
    site
}

fn good(site: &Site, arguments: &[&str]) -> Several {
    site.plan_all(arguments)
        .unwrap_or_else(|story| panic!("{arguments:?}: {story}"))
}

fn bad(site: &Site, arguments: &[&str]) -> String {
    match site.plan_all(arguments) {
        Ok(several) => panic!("{arguments:?}: {several:?}"),
        Err(story) => story,
    }
}

fn labels(several: &Several) -> Vec<&str> {
    let labels = several.scenarios.iter().map(|one| one.label.as_str());
    labels.collect()
}

/// What is written: reports, then recordings, where there are any.
fn files(several: &Several) -> Vec<Option<PathBuf>> {
    let outputs = several.scenarios.iter().map(|one| &one.planned.outputs);
    let json = outputs
        .clone()
        .map(|outputs| outputs.faces.get(&Face::Json));
    json.chain(outputs.map(|outputs| outputs.record.as_ref()))
        .map(|output| match output {
            Some(Output::File(file)) => Some(file.clone()),
            Some(Output::Stdout) => Some(PathBuf::from("-")),
            None => None,
        })
        .collect()
}

#[test]
fn each_folder_and_scenario_file_is_a_scenario_and_a_list_of_files_is_one() {
    let site = site();
    let several = good(
        &site,
        &["b", "a/scenario.toml", "plain", "--snapshot=listings"],
    );
    assert_eq!(labels(&several), ["b", "a", "plain"]);
    let steps = |index: usize| several.scenarios[index].planned.plan.steps.len();
    assert_eq!([steps(0), steps(1), steps(2)], [1, 1, 2]);

    let one = good(&site, &["plain/1.sql", "a/01.sql", "--snapshot=listings"]);
    assert_eq!(labels(&one), ["plain"]);
    assert_eq!(one.scenarios[0].planned.plan.steps.len(), 2);
    assert_eq!(labels(&good(&site, &["a"])), ["a"]);
}

#[test]
fn no_more_run_at_once_than_there_are_and_one_unless_asked() {
    let site = site();
    assert_eq!(good(&site, &["a", "b"]).jobs, 1);
    assert_eq!(good(&site, &["a", "b", "--jobs=2"]).jobs, 2);
    assert_eq!(good(&site, &["a", "b", "--jobs=64"]).jobs, 2);
    assert_eq!(good(&site, &["a", "--jobs=64"]).jobs, 1);
    assert_eq!(good(&site, &["a", "b"]).notes, Vec::<String>::new());
}

#[test]
fn scenarios_of_one_name_are_told_apart() {
    let site = site();
    let several = good(&site, &["a", "b", "c/a"]);
    let root = format!("{}/", site.root().display());
    let labels: Vec<String> = labels(&several)
        .iter()
        .map(|label| label.replace(&root, ""))
        .collect();
    assert_eq!(labels, ["a (a)", "b", "a (c/a)"]);
}

#[test]
fn each_scenario_has_files_of_its_own() {
    let site = site();
    let path = |text: &str| Some(PathBuf::from(text));
    // A folder that is there, and one that a `/` names.
    assert_eq!(
        files(&good(&site, &["a", "b", "--json=reports", "--record=to/"])),
        [
            path("reports/a.json"),
            path("reports/b.json"),
            path("to/a.jsonl"),
            path("to/b.jsonl")
        ]
    );
    assert_eq!(
        files(&good(
            &site,
            &["a", "b", "--json={scenario}/locks-{scenario}"]
        )),
        [path("a/locks-a"), path("b/locks-b"), None, None]
    );
    assert_eq!(
        files(&good(&site, &["a", "b", "--json=-"])),
        [path("-"), path("-"), None, None]
    );
    // One scenario may have either, too, where a `/` says that a folder is meant, or a plain file.
    assert_eq!(
        files(&good(
            &site,
            &["a", "--json=reports/", "--record={scenario}.gz"]
        )),
        [path("reports/a.json"), path("a.gz")]
    );
    assert_eq!(
        files(&good(&site, &["a", "--json=reports/", "--record=reports/"])),
        [path("reports/a.json"), path("reports/a.jsonl")]
    );
    assert_eq!(
        files(&good(&site, &["a", "--json=f", "--record=-"])),
        [path("f"), path("-")]
    );
    // Each form has its own file in one folder, and comments may follow each other.
    let all = ["--json=r/", "--html=r/", "--markdown=r/", "--junit=r/"];
    let several = good(&site, &[&["a", "b"][..], &all].concat());
    let faces = several
        .scenarios
        .iter()
        .flat_map(|one| &one.planned.outputs.faces);
    let shown: Vec<String> = faces
        .map(|(face, output)| format!("{face:?} {output:?}"))
        .collect();
    assert_eq!(
        shown,
        ["a", "b"]
            .map(|name| [
                ("Json", "json"),
                ("Html", "html"),
                ("Markdown", "md"),
                ("Junit", "xml")
            ]
            .map(|(face, extension)| format!("{face} File(\"r/{name}.{extension}\")")))
            .concat()
    );
    assert_eq!(good(&site, &["a", "b", "--markdown=-"]).scenarios.len(), 2);
    // A name leads nowhere else.
    site.file("b/scenario.toml", format!("name = \"../up & away\"\n{ONE}"));
    assert_eq!(
        files(&good(&site, &["a", "b", "--json=reports"]))[1],
        path("reports/-.-up---away.json")
    );
}

#[test]
fn what_several_scenarios_cannot_have_is_told_to_the_letter() {
    let site = site();
    site.file(
        "twin/scenario.toml",
        format!("name = \"a\"\n{}", ONE.replace("01.sql", "../a/01.sql")),
    );
    site.file("third/scenario.toml", ONE.replace("01.sql", "02.sql"));
    for (arguments, expected) in [
        (
            vec!["a", "b", "third"],
            "`third/scenario.toml`, line 3: `steps[0].file` names a file that does not exist: `third/02.sql`\n  \
             help: paths start from the folder of the scenario file",
        ),
        (vec!["a", "gone"], "`gone` does not exist"),
        (
            vec!["a", "plain/1.sql"],
            "`a` cannot stand beside .sql files\n  \
             help: name scenarios and folders, or the .sql files of one scenario in their order",
        ),
        (
            vec!["a", "s/reports/kept.json"],
            "`s/reports/kept.json` is neither a scenario nor a .sql file\n  \
             help: name a folder, a scenario.toml, or .sql files",
        ),
        (
            vec!["a", "b", "a"],
            "`a` is there twice\n  help: name it once; `--repeat 2` measures a scenario two times",
        ),
        (
            vec!["a", "b/../a/scenario.toml"],
            "`a` and `b/../a/scenario.toml` are the same scenario\n  \
             help: name it once; `--repeat 2` measures a scenario two times",
        ),
        (
            vec!["a", "b", "--jobs=0"],
            "`--jobs` has to be from 1 to 64, not 0\n  \
             help: each one has a server and a copy of the snapshot of its own",
        ),
        (
            vec!["a", "--jobs=65"],
            "`--jobs` has to be from 1 to 64, not 65\n  \
             help: each one has a server and a copy of the snapshot of its own",
        ),
        (
            vec!["a", "b", "--stage=postgres://u@h/d"],
            "`--stage` cannot be a `postgres://` URL for 2 scenarios: what the first one does stays applied, \
             and the next would start from it\n  \
             help: run them one by one and reset the server in between, or on a stage of lockproof's own",
        ),
        (
            vec!["a", "b", "--keep"],
            "`--keep` is for one scenario, and would leave the stages of 2 running\n  \
             help: run the one that is to be looked at by itself",
        ),
        (
            vec!["a", "b", "--json=f.json"],
            "`--json f.json` is one file, and there are 2 scenarios\n  \
             help: name a folder, or put `{scenario}` into the file's name, such as `--json '{scenario}.json'`",
        ),
        (
            vec!["a", "b", "--record=f"],
            "`--record f` is one file, and there are 2 scenarios\n  \
             help: name a folder, or put `{scenario}` into the file's name, such as `--record '{scenario}.jsonl'`",
        ),
        (
            vec!["a", "b", "--record=-"],
            "`--record -` is one recording, and there are 2 scenarios\n  \
             help: name a folder, or put `{scenario}` into the file's name, such as `--record '{scenario}.jsonl'`",
        ),
        (
            vec!["a", "b", "--html=f.html"],
            "`--html f.html` is one file, and there are 2 scenarios\n  \
             help: name a folder, or put `{scenario}` into the file's name, such as `--html '{scenario}.html'`",
        ),
        (
            vec!["a", "b", "--html=-"],
            "`--html -` is one page, and there are 2 scenarios\n  \
             help: name a folder, or put `{scenario}` into the file's name, such as `--html '{scenario}.html'`",
        ),
        (
            vec!["a", "b", "--junit=-"],
            "`--junit -` is one document, and there are 2 scenarios\n  \
             help: name a folder, or put `{scenario}` into the file's name, such as `--junit '{scenario}.xml'`",
        ),
        (
            vec!["a", "--markdown=-", "--junit=-"],
            "`--markdown` and `--junit` cannot both be standard output\n  help: write one of them to a file",
        ),
        (
            vec!["a", "--html=r", "--junit=./r"],
            "`--html` and `--junit` cannot both be `./r`\n  help: write one of them to another file",
        ),
        (
            vec!["a", "b", "--json=-", "--record=-"],
            "`--json` and `--record` cannot both be standard output\n  help: write one of them to a file",
        ),
        (
            vec!["a", "twin", "--json=reports"],
            "`reports/a.json` would be written for `a` and for `twin`\n  \
             help: give one of them a `name` of its own in its scenario.toml, or run them apart",
        ),
        (
            vec!["a", "b", "--json={scenario}.x", "--record=./{scenario}.x"],
            "`--json` and `--record` cannot both be `./a.x`\n  help: write one of them to another file",
        ),
    ] {
        assert_eq!(bad(&site, &arguments), expected);
    }
    // Without files to write, a second name is only told with its path.
    assert!(Path::new(&good(&site, &["a", "twin"]).scenarios[1].label).ends_with("twin)"));
}

/// `config::plan` is for one: a program that embeds it must not lose the others in silence.
#[test]
fn a_plan_of_one_refuses_several() {
    assert_eq!(
        site().plan(&["a", "b"]).map(drop),
        Err("one scenario is expected, and there are 2\n  \
             help: plan each by itself, or all of them with `config::plan_all`"
            .to_owned())
    );
}
