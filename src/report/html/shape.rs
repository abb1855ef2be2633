//! What a picture consists of: lanes below one another on one axis, and shapes in them. Across in percent of the
//! width, so that a picture fits any screen without a script; down in pixels, so that its letters stay letters.

use serde::Serialize;

use super::axis::{Axis, Tick};

/// A picture.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Figure {
    /// Names its parts.
    pub id: String,
    /// What it shows, for who cannot see it.
    pub about: String,
    pub ticks: Vec<Tick>,
    pub lanes: Vec<Lane>,
    /// What has to be known to read it.
    pub notes: Vec<String>,
}

/// A strip of it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Lane {
    pub label: Label,
    pub height: u32,
    pub shapes: Vec<Shape>,
    pub series: Vec<Series>,
    pub legend: Vec<Legend>,
}

/// What stands before a lane.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Label {
    /// A letter or two in a box, and the class of its colour.
    pub badge: Option<(String, String)>,
    pub text: String,
    /// Smaller, below.
    pub note: String,
    /// True for the name of something, which may be written from right to left.
    pub name: bool,
}

/// A line's sample, and what it stands for.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Legend {
    pub class: String,
    pub text: String,
}

/// Something drawn.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Shape {
    Bar {
        x: f64,
        y: f64,
        width: f64,
        height: f64,
        class: String,
        /// Told to who points at it.
        title: String,
        /// The place that says all of it; empty: none.
        link: String,
        /// Written into it, as far as it fits.
        text: String,
    },
    Line {
        x1: f64,
        x2: f64,
        y1: f64,
        y2: f64,
        class: String,
    },
    Text {
        x: f64,
        y: f64,
        class: String,
        text: String,
    },
}

/// A curve, in thousandths of the width and in pixels down.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Series {
    pub class: String,
    pub d: String,
}

impl Lane {
    pub fn new(label: Label, height: u32) -> Self {
        Self {
            label,
            height,
            shapes: Vec::new(),
            series: Vec::new(),
            legend: Vec::new(),
        }
    }
}

/// From when to when, and where it stands in its lane.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub from: f64,
    pub to: f64,
    pub y: f64,
    pub height: f64,
}

impl Shape {
    /// A bar; None where nothing of it is in the picture.
    pub fn bar(axis: &Axis, place: Place, class: &str, title: &str) -> Option<Self> {
        let (from, to) = (place.from, place.to.max(place.from));
        let (x, end) = (axis.x(from), axis.x(to));
        axis.shows(from, to).then(|| Self::Bar {
            x,
            y: place.y,
            width: ((end - x).max(0.05) * 1e3).round() / 1e3,
            height: place.height,
            class: class.to_owned(),
            title: title.to_owned(),
            link: String::new(),
            text: String::new(),
        })
    }

    /// The same, leading there.
    pub fn linked(self, to: String) -> Self {
        match self {
            Self::Bar {
                x,
                y,
                width,
                height,
                class,
                title,
                text,
                ..
            } => Self::Bar {
                x,
                y,
                width,
                height,
                class,
                title,
                link: to,
                text,
            },
            other => other,
        }
    }

    /// The same, with this written into it.
    pub fn lettered(self, with: String) -> Self {
        match self {
            Self::Bar {
                x,
                y,
                width,
                height,
                class,
                title,
                link,
                ..
            } => Self::Bar {
                x,
                y,
                width,
                height,
                class,
                title,
                link,
                text: with,
            },
            other => other,
        }
    }

    /// An upright line.
    pub fn upright(axis: &Axis, at: f64, y1: f64, y2: f64, class: &str) -> Option<Self> {
        axis.shows(at, at).then(|| Self::Line {
            x1: axis.x(at),
            x2: axis.x(at),
            y1,
            y2,
            class: class.to_owned(),
        })
    }

    /// A level line.
    pub fn level(axis: &Axis, from: f64, to: f64, y: f64, class: &str) -> Option<Self> {
        axis.shows(from, to).then(|| Self::Line {
            x1: axis.x(from),
            x2: axis.x(to),
            y1: y,
            y2: y,
            class: class.to_owned(),
        })
    }
}
