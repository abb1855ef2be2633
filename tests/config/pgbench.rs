//! The real pgbench reads what lockproof takes for a script of pgbench.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use proptest::prelude::*;

use super::Site;
use super::support::missing;

/// pgbench lies beside the server's programs.
fn pgbench() -> Option<PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOUND.get_or_init(find).clone()
}

fn find() -> Option<PathBuf> {
    let beside = lockproof::stage::local::binaries::find(None)
        .choose(None)
        .ok()
        .map(|installation| installation.program("pgbench"))
        .filter(|program| program.is_file());
    if beside.is_none() {
        missing("there is no pgbench beside the server's programs");
    }
    beside
}

/// It reads its scripts before it connects, and there is nothing to connect to.
fn reads(pgbench: &Path, script: &Path) -> bool {
    let output = Command::new(pgbench)
        .args(["-n", "-M", "prepared", "-h", "/nonexistent", "-f"])
        .arg(script)
        .arg("nothing")
        .env("LC_ALL", "C")
        .output()
        .expect("it starts");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{told}");
    let connects = told.contains("connection to server");
    let complains = told.contains(&script.display().to_string());
    assert!(connects != complains, "{told}");
    connects
}

#[test]
fn scripts_are_read_as_pgbench_reads_them() {
    let Some(pgbench) = pgbench() else { return };
    let good = [
        "SELECT 1;",
        "SELECT 1",
        "-- a comment \\if\n\nSELECT\n1;\n/* \\gset */ SELECT 2;",
        "SELECT 1 \\sleep 5",
        "\\SET a 1\nSELECT :a;",
        "\\ set a 1\nSELECT :a;",
        "\\set a 1 + \\\n 2\nSELECT :a;",
        "\\set \\\n a \\\n 1\nSELECT :a;",
        "\\set a -9223372036854775808\nSELECT :a;",
        "\\set a 9223372036854775807\nSELECT :a;",
        "\\set a 1. + .5 + 1e3 + 1.5E-3\nSELECT :a;",
        "\\set a - - + 1 % 2 * (3 - -4) / 5\nSELECT :a;",
        "\\set a Random(1, 10)\nSELECT :a;",
        "\\set a random_zipfian(1, 10, 1.5) + random_gaussian(1, 10, 2.5) + random_exponential(1, 10, 2.5)\nSELECT :a;",
        "\\set a greatest(1) + least(1, 2.5, 3) + mod(5, 2) + abs(-1) + int(1.5) + double(1)\nSELECT :a;",
        "\\set a hash(1) + hash_fnv1a(2) + hash_murmur2(3)\nSELECT :a;",
        "\\sleep 1 us\nSELECT 1;",
        "\\sleep 1 MS\nSELECT 1;",
        "\\sleep 1s\nSELECT 1;",
        "\\set a 5\n\\sleep :a ms\nSELECT 1;",
        "BEGIN;\nSELECT 1;\nEND;",
        "SELECT e'\\'\\n', $$\\if$$, '\\', \"\\\";",
    ];
    let bad = [
        "\\set",
        "\\set a",
        "\\set a 1 +\nSELECT 1;",
        "\\set a 1 2\nSELECT 1;",
        "\\set a (1\nSELECT 1;",
        "\\set a 1e999\nSELECT 1;",
        "\\set a 9223372036854775808\nSELECT 1;",
        "\\set a '1'\nSELECT 1;",
        "\\set a random(1)\nSELECT 1;",
        "\\set a random 1\nSELECT 1;",
        "\\set a randon(1, 2)\nSELECT 1;",
        "\\set a greatest()\nSELECT 1;",
        "\\set a 5 -- five\nSELECT 1;",
        "\\sleep\nSELECT 1;",
        "\\sleep 1 min\nSELECT 1;",
        "\\sleep 1 ms please\nSELECT 1;",
        "\\nothing\nSELECT 1;",
    ];
    let site = Site::with("snapshot = \"listings\"\n[[steps]]\nfile = \"01.sql\"\n");
    let script = site.path("script.sql");
    let option = format!("--traffic={}", script.display());
    for (texts, wanted) in [(&good[..], true), (&bad[..], false)] {
        for text in texts {
            site.file("script.sql", text);
            let planned = site.plan(&["s", &option]);
            assert_eq!(planned.is_ok(), wanted, "{text:?}: {:?}", planned.err());
            assert_eq!(reads(&pgbench, &script), wanted, "pgbench: {text:?}");
        }
    }
}

/// Words of an expression, as many good ones as there can be.
fn words() -> impl Strategy<Value = Vec<&'static str>> {
    let leaf =
        prop::sample::select(vec!["1", "2.5", ".5e1", ":a", "-1"]).prop_map(|word| vec![word]);
    leaf.prop_recursive(4, 24, 2, |inner| {
        let infix = prop::sample::select(vec!["+", "-", "*", "/", "%"]);
        let called = prop::sample::select(vec!["abs", "INT", "double", "greatest", "least"]);
        prop_oneof![
            (inner.clone(), infix, inner.clone()).prop_map(|(left, sign, right)| [
                left,
                vec![sign],
                right
            ]
            .concat()),
            (called, inner.clone())
                .prop_map(|(name, one)| [vec![name, "("], one, vec![")"]].concat()),
            (inner.clone(), inner.clone()).prop_map(|(one, two)| [
                vec!["greatest", "("],
                one,
                vec![","],
                two,
                vec![")"]
            ]
            .concat()),
            inner
                .clone()
                .prop_map(|one| [vec!["("], one, vec![")"]].concat()),
            inner.prop_map(|one| [vec!["-"], one].concat()),
        ]
    })
}

proptest! {
    // Each case is a process.
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, max_shrink_iters: 50, ..ProptestConfig::default() })]

    /// With one word left out or put in another place, most of them are wrong, in the same way for both.
    #[test]
    fn an_expression_is_one_where_pgbench_says_so(
        mut words in words(),
        slip in prop::option::of((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<bool>())),
        apart in prop::sample::select(vec![" ", " \\\n "]),
    ) {
        let Some(pgbench) = pgbench() else { return Ok(()) };
        if let Some((from, to, kept)) = slip {
            let word = words.remove(from.index(words.len()));
            if kept {
                words.insert(to.index(words.len() + 1), word);
            }
        }
        // pgbench takes `greatest(, 1)` for `greatest(1)`.
        prop_assume!(!words.windows(2).any(|pair| pair == ["(", ","]));
        let text = format!("\\set a 1\n\\set b {}\nSELECT :b;\n", words.join(apart));
        let site = Site::with("snapshot = \"listings\"\n[[steps]]\nfile = \"01.sql\"\n");
        site.file("script.sql", &text);
        let script = site.path("script.sql");
        let planned = site.plan(&["s", &format!("--traffic={}", script.display())]);
        prop_assert_eq!(planned.is_ok(), reads(&pgbench, &script), "{}: {:?}", text, planned.err());
    }
}
