//! `gpulogit explain`: the lesson.

use super::args::ExplainArgs;
use super::exit::Outcome;
use super::output::{json, stdout};
use crate::error::Result;
use crate::explain::{LessonOptions, lesson};

pub(super) fn run(args: &ExplainArgs) -> Result<Outcome> {
    let lesson = lesson(&LessonOptions::default());
    if args.common.json {
        json(&lesson)?
    } else {
        stdout(&lesson.to_string())?
    }
    Ok(Outcome::Done)
}
