//! The report's forms: each written where it was asked for.

use lockproof::config::Outputs;
use lockproof::config::outputs::Face;
use lockproof::plan::Policy;
use lockproof::report::{Report, html, junit, markdown};
use lockproof::{Error, Result};

use super::output::Target;

/// Forms of one report and their places, opened already.
pub struct Faces(Vec<(Face, Target)>);

impl Faces {
    /// Opens them.
    pub fn open(outputs: &Outputs) -> Result<Self> {
        let faces = outputs.faces.iter();
        let open = faces.map(|(face, output)| Ok((*face, Target::open(output)?)));
        open.collect::<Result<_>>().map(Self)
    }

    /// True when one of them goes to standard output.
    pub fn take_standard(&self) -> bool {
        let standard = |(_, target): &(Face, Target)| matches!(target, Target::Standard);
        self.0.iter().any(standard)
    }

    /// Those that go to files, taken out: they need not wait for their turn.
    pub fn files(&mut self) -> Self {
        let file = |(_, target): &mut (Face, Target)| matches!(target, Target::File(..));
        Self(self.0.extract_if(.., file).collect())
    }

    /// All of them, taken out.
    pub fn take(&mut self) -> Self {
        Self(std::mem::take(&mut self.0))
    }

    /// Files of an earlier run, which stand where this one's would: nobody is to take them for its.
    pub fn earlier(&self) -> Vec<String> {
        let file = |(_, target): &(Face, Target)| match target {
            Target::File(path, _) if path.exists() => Some(format!(
                "`{}` is of an earlier run: this one has no report",
                path.display()
            )),
            _ => None,
        };
        self.0.iter().filter_map(file).collect()
    }

    /// Writes all of them, also behind one that cannot be written; what went wrong.
    pub fn write(self, report: &Report, policy: &Policy) -> Vec<Error> {
        let write = |(face, target)| write(face, target, report, policy).err();
        self.0.into_iter().filter_map(write).collect()
    }
}

fn write(face: Face, target: Target, report: &Report, policy: &Policy) -> Result<()> {
    match face {
        // Never the whole of it in memory.
        Face::Json => target.write(|sink| {
            serde_json::to_writer_pretty(&mut *sink, report)?;
            sink.write_all(b"\n")
        }),
        Face::Html => target
            .write_text(&html::render(report).map_err(|error| defect("the page").because(error))?),
        Face::Markdown => target.write_text(&markdown::render(report)),
        Face::Junit => target.write_text(
            &junit::render(report, policy.on_unproven)
                .map_err(|error| defect("the JUnit document").because(error))?,
        ),
    }
}

fn defect(what: &str) -> Error {
    Error::defect(format!("{what} of the report cannot be made"))
}
