//! The report's page in a real browser: it loads nothing, has no error, fits a phone, and can be read.
//!
//! A page around it looks into it and tells what it found, so that nothing but the browser itself is needed.

#[allow(dead_code)]
#[path = "support/sample.rs"]
mod sample;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lockproof::report::compare::compare;
use lockproof::report::{Report, html};

/// Widths of a phone and of a desk.
const WIDTHS: [u32; 2] = [360, 1280];

/// As the browser wants it: what the user likes.
const SCHEMES: [(&str, u32); 2] = [("dark", 0), ("light", 1)];

/// Text of its size has to stand out from what is behind it this much (WCAG 2, AA).
const CONTRAST: &str = "4.5";

fn browser() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders)
        .flat_map(|folder| {
            ["chromium", "chromium-browser", "google-chrome"].map(|name| folder.join(name))
        })
        .find(|program| program.is_file());
    if found.is_none() {
        use std::io::Write;
        let why = "there is no `chromium`: tests/setup.sh installs it";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
        let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
    }
    found
}

/// What the page around says after it looked.
fn looked_at(browser: &Path, page: &str, width: u32, scheme: u32) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let outer = folder.path().join("outer.html");
    std::fs::write(&outer, around(page, width)).expect("written");
    let output = Command::new(browser)
        .args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
        ])
        // It would go out for these.
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ])
        .arg(format!(
            "--user-data-dir={}",
            folder.path().join("profile").display()
        ))
        .arg(format!("--blink-settings=preferredColorScheme={scheme}"))
        .args([
            "--virtual-time-budget=5000",
            "--timeout=20000",
            "--window-size=1400,900",
            "--dump-dom",
        ])
        .arg(format!("file://{}", outer.display()))
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = dom
        .split_once("<pre id=\"told\">")
        .and_then(|(_, rest)| rest.split_once("</pre>"))
        .map(|(told, _)| told.to_owned());
    told.unwrap_or_else(|| {
        panic!(
            "nothing was told: {}",
            String::from_utf8_lossy(&output.stderr)
        )
    })
}

fn around(page: &str, width: u32) -> String {
    let page = page.replace('&', "&amp;").replace('"', "&quot;");
    include_str!("support/around.html")
        .replace("WIDTH", &width.to_string())
        .replace("CONTRAST", CONTRAST)
        .replace("PAGE", &page)
}

#[track_caller]
fn good(browser: &Path, name: &str, report: &Report) {
    fits(browser, name, &html::render(report).expect("a page"));
}

#[track_caller]
fn fits(browser: &Path, name: &str, page: &str) {
    for width in WIDTHS {
        for (scheme, number) in SCHEMES {
            let told = looked_at(browser, page, width, number);
            let lines: Vec<&str> = told.lines().collect();
            assert!(
                lines.len() == 2
                    && lines[0] == format!("scheme {scheme}")
                    && lines[1].starts_with("figures "),
                "{name}, {width} pixels, {scheme}: {told}"
            );
        }
    }
}

#[test]
fn a_page_fits_every_screen_and_can_be_read() {
    let Some(browser) = browser() else { return };
    good(&browser, "everything", &sample::everything());
    good(&browser, "blocked", &sample::recorded("blocked"));
    let reports = vec![sample::everything(), sample::recorded("published")];
    let page = html::compare(&compare(reports)).expect("a page");
    fits(&browser, "a comparison", &page);
    let long = "aVeryLongNameWithoutAnySpace".repeat(12);
    good(
        &browser,
        "long names",
        &sample::with_text(sample::everything(), &long),
    );
    let hostile = "</script></style><img src=x onerror=alert(1)>\"'`\u{202e}😀 ]]>";
    good(
        &browser,
        "hostile",
        &sample::with_text(sample::everything(), hostile),
    );
}

/// The bad twin: what the test looks for, it finds.
#[test]
fn what_is_wrong_with_a_page_is_seen() {
    let Some(browser) = browser() else { return };
    let page = html::render(&sample::recorded("blocked")).expect("a page");
    for (wrong, instead, expected) in [
        (
            "<main>",
            "<main><p style=\"width:5000px\">wide</p>",
            "wide: ",
        ),
        (
            "<main>",
            "<main><p style=\"color:#aaa;background:#fff\">pale</p>",
            "contrast 2.",
        ),
        (
            "<main>",
            "<main><img src=\"https://elsewhere.invalid/x.png\">",
            "refused: ",
        ),
        ("'use strict';", "nothing.at.all();", "error: "),
        (
            "href=\"#r-step1\"",
            "href=\"#r-step9\"",
            "a link leads nowhere",
        ),
    ] {
        assert!(page.contains(wrong), "{wrong}");
        let told = looked_at(&browser, &page.replacen(wrong, instead, 1), 360, 1);
        assert!(told.contains(expected), "{expected}: {told}");
    }
}
