//! The README's claims that a program can check: its TOML is read by the product's own loader, and
//! every option, command and exit code that it names is there.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser};
use lockproof::cli::{Cli, Command};
use lockproof::config::{Planned, Surroundings, plan_in};
use lockproof::snapshot::{Manifest, Source};

const README: &str = include_str!("../README.md");

/// The blocks of a language.
fn blocks(language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<(bool, String)> = None;
    for line in README.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(name), None) => open = Some((name == language, String::new())),
            (Some(_), Some(_)) => {
                if let Some((true, text)) = open.take() {
                    blocks.push(text);
                }
            }
            (None, Some((_, text))) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

fn plan(folder: &Path, arguments: &[&str]) -> Planned {
    let cli = Cli::try_parse_from([&["lockproof", "run"], arguments].concat())
        .unwrap_or_else(|error| panic!("{error}"));
    let Command::Run(run) = cli.command else {
        panic!("another command")
    };
    // The example's program need not be on this machine.
    let tools = folder.join("tools");
    std::fs::create_dir_all(&tools).expect("made");
    let python = tools.join("python");
    std::fs::write(&python, "").expect("written");
    std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).expect("set");
    let surroundings = Surroundings {
        path: Some(tools.into()),
        working_folder: folder.to_owned(),
        home: Some(PathBuf::from("/home/u")),
        cache_home: None,
        root: false,
    };
    plan_in(&run, &surroundings).unwrap_or_else(|error| panic!("{}", error.story()))
}

#[test]
fn its_toml_is_read_by_the_product() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let [scenario, dump, travelling, generator, hooks, felt, traffic] = &blocks("toml")[..] else {
        panic!("a scenario, a dump, what travels, a generator, hooks, what is felt, traffic")
    };
    for name in [
        "snapshots/listings",
        "snapshots/shop",
        "snapshots/travelling",
        "snapshots/thin",
        "s",
        "traffic",
    ] {
        fs::create_dir_all(at(name)).expect("made");
    }
    fs::write(at("snapshots/shop/snapshot.toml"), dump).expect("written");
    fs::write(at("snapshots/listings/snapshot.toml"), generator).expect("written");
    fs::write(at("snapshots/thin/snapshot.toml"), hooks).expect("written");
    for (name, text) in [
        ("snapshot.toml", travelling.as_str()),
        ("postgresql.conf", "work_mem = 64MB\n"),
        (
            "globals.sql",
            "CREATE ROLE app_admin;\nCREATE ROLE app_owner;\n",
        ),
    ] {
        fs::write(at("snapshots/travelling").join(name), text).expect("written");
    }
    fs::write(at("s/scenario.toml"), scenario).expect("written");
    fs::write(at("traffic/listings.toml"), traffic).expect("written");
    fs::create_dir_all(at("felt")).expect("made");
    let step = "[[steps]]\nname = \"a\"\nsql = \"SELECT 1\"\n";
    let snapshot = "snapshot = \"listings\"\ntraffic = \"../traffic/listings.toml\"\n";
    fs::write(
        at("felt/scenario.toml"),
        format!("{snapshot}{felt}\n{step}"),
    )
    .expect("written");
    fs::write(
        at("s/01_add_column.sql"),
        "ALTER TABLE listings_listing ADD COLUMN category_v2 text;",
    )
    .expect("written");

    let (shop, _) = Manifest::load(&at("snapshots/shop")).unwrap_or_else(|e| panic!("{e:?}"));
    assert_eq!(shop.name, "shop");
    let (travelling, _) =
        Manifest::load(&at("snapshots/travelling")).unwrap_or_else(|e| panic!("{e:?}"));
    assert_eq!(travelling.travels.partial.len(), 2);
    assert_eq!(travelling.travels.role.as_deref(), Some("app_owner"));
    let (thin, _) = Manifest::load(&at("snapshots/thin")).unwrap_or_else(|e| panic!("{e:?}"));
    assert!(matches!(thin.source, Source::Hooks(_)));
    let (listings, _) =
        Manifest::load(&at("snapshots/listings")).unwrap_or_else(|e| panic!("{e:?}"));
    assert!(matches!(listings.source, Source::Generator { .. }));

    let path = at("s").display().to_string();
    let planned = plan(&at("s"), &[&path]);
    let names: Vec<&str> = planned
        .plan
        .steps
        .iter()
        .map(|step| step.name.as_str())
        .collect();
    assert_eq!(names, ["add-column", "backfill", "django"]);
    assert_eq!(planned.notes, Vec::<String>::new());
    let traffic = planned.plan.traffic.expect("traffic");
    assert_eq!(traffic.operations.len(), 1);
    assert_eq!(planned.plan.disturbances.len(), 1);

    let path = at("felt").display().to_string();
    let felt = plan(&at("felt"), &[&path]).plan;
    assert!(felt.policy.impact.p99_increase.is_some());
    assert!(felt.steps[0].lock_timeout.is_some());
}

/// Every key that the loaders know is in the reference, so that none is added in silence.
#[test]
fn its_toml_has_every_key() {
    let all = blocks("toml").concat();
    let keys = |text: &str| -> BTreeSet<String> {
        text.split("the keys here are ")
            .nth(1)
            .unwrap_or_default()
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect()
    };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("scenario.toml");
    let mut known = BTreeSet::new();
    for nonsense in [
        "qqqqqqqq = 1",
        "[stage]\nqqqqqqqq = 1",
        "[[steps]]\nqqqqqqqq = 1",
        "[[steps]]\nretry = { qqqqqqqq = 1 }",
        "[budgets]\nSHARE = { qqqqqqqq = 1 }",
    ] {
        // `snapshot` has to stand before the first table.
        fs::write(&file, format!("snapshot = \"empty\"\n{nonsense}")).expect("written");
        let cli = Cli::try_parse_from(["lockproof", "run", &file.display().to_string()])
            .unwrap_or_else(|error| panic!("{error}"));
        let Command::Run(run) = cli.command else {
            panic!("another command")
        };
        let story = match lockproof::config::plan(&run) {
            Ok(planned) => panic!("{planned:?}"),
            Err(error) => error.story(),
        };
        let found = keys(&story);
        assert!(!found.is_empty(), "{story}");
        known.extend(found);
    }
    known.remove("kind");
    let missing: Vec<&String> = known
        .iter()
        .filter(|key| {
            !all.lines().any(|line| {
                let line = line.trim_start_matches(['[', ' ']);
                line.starts_with(&format!("{key} ="))
                    || line.starts_with(&format!("{key}]"))
                    || line.starts_with(&format!("stage.{key}]"))
            }) && !all.contains(&format!("{{ {key} ="))
                && !all.contains(&format!(", {key} ="))
        })
        .collect();
    assert!(missing.is_empty(), "the README lacks {missing:?}");
}

#[test]
fn options_and_commands_exist() {
    let mut command = Cli::command();
    command.build();
    let mut options: BTreeSet<String> = BTreeSet::new();
    let nested = command
        .get_subcommands()
        .flat_map(clap::Command::get_subcommands);
    for part in command.get_subcommands().chain(nested).chain([&command]) {
        for argument in part.get_arguments() {
            options.extend(argument.get_long().map(|long| format!("--{long}")));
        }
    }
    let mut wrong = Vec::new();
    for (number, line) in README.lines().enumerate() {
        let ours = !["cargo ", "pg_dump", "docker ", "jq "]
            .iter()
            .any(|program| line.contains(program) && !line.contains("lockproof run"));
        let words = line.split(|c: char| c.is_whitespace() || "`'\"(),;".contains(c));
        for word in words.filter(|word| ours && word.starts_with("--") && word.len() > 2) {
            let option = word.split('=').next().unwrap_or_default();
            let option = option.trim_end_matches(['.', ':']);
            if !options.contains(option) && !option.trim_matches('-').is_empty() {
                wrong.push(format!("line {}: `{option}`", number + 1));
            }
        }
        if let Some(rest) = line.trim_start().strip_prefix("lockproof ") {
            let name = rest.split_whitespace().next().unwrap_or_default();
            if !command
                .get_subcommands()
                .any(|part| part.get_name() == name)
            {
                wrong.push(format!("line {}: `lockproof {name}`", number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for name in command.get_subcommands().map(clap::Command::get_name) {
        let told = README.contains(&format!("lockproof {name}"));
        assert!(
            told || ["completions", "man", "help"].contains(&name),
            "{name}"
        );
    }
}

/// The same table in the README, in `--help` and in the code.
#[test]
fn exit_codes_are_the_same_everywhere() {
    let mut command = Cli::command();
    let help = command.render_long_help().to_string();
    let mut rows = 0;
    for line in help
        .lines()
        .skip_while(|line| *line != "Exit codes:")
        .skip(1)
    {
        let Some((code, meaning)) = line.trim().split_once(' ') else {
            continue;
        };
        let row = format!("| {code} | {}", meaning.trim());
        assert!(README.contains(&row), "{row}");
        rows += 1;
    }
    assert_eq!(rows, 9);
}

#[test]
fn every_line_of_make_help_works_from_the_readme() {
    let makefile = include_str!("../Makefile");
    for target in ["demo", "test"] {
        assert!(README.contains(&format!("make {target}")));
        assert!(makefile.contains(&format!("\n{target}: ")));
    }
}

#[test]
fn links_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for page in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = fs::read_to_string(root.join(page)).expect("there");
        for part in text.split("](").skip(1) {
            let target = part.split(')').next().unwrap_or_default();
            let outside = target.starts_with("http") || target.starts_with('#');
            assert!(outside || root.join(target).exists(), "{page}: {target}");
        }
    }
}

/// The pictures are what `judge` shows of the stored recordings.
#[test]
fn the_pictures_are_the_goldens() {
    for name in ["published", "redesigned"] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let golden = root.join(format!("tests/golden/{name}.snap"));
        let golden = fs::read_to_string(golden).expect("there");
        let (_, shown) = golden
            .split_once("--- standard output\n")
            .expect("an output");
        assert!(
            README.contains(&format!("```\n{}\n```", shown.trim_end())),
            "the picture of `{name}` in the README is another one than in tests/golden"
        );
    }
}
