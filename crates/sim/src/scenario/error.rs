/// What is wrong with a scenario, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {mistake}")]
pub struct ScenarioError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong there.
    pub mistake: Mistake,
}

impl ScenarioError {
    /// A mistake at the byte at `offset` of `text`.
    pub(super) fn at(text: &str, offset: usize, mistake: Mistake) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            mistake,
        }
    }
}

/// Why a course ends before its time: there is more in it than a machine has room for.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CourseError {
    /// Too many nodes are near each other.
    #[error(
        "at {seconds} s more than {most} pairs of nodes are in reach of each other over radio \"{radio}\"; \
         make the area larger, its range_m shorter or the groups smaller"
    )]
    Crowded {
        /// The radio.
        radio: String,
        /// When, in virtual seconds.
        seconds: f64,
        /// How many there may be.
        most: usize,
    },
    /// Too many links have come, and mostly gone.
    #[error(
        "at {seconds} s there have been more than {most} links; make the course shorter, or let fewer \
         nodes move"
    )]
    TooManyLinks {
        /// When, in virtual seconds.
        seconds: f64,
        /// How many there may be.
        most: usize,
    },
}

/// A mistake in a scenario. Keys are told with their tables.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// The file is no TOML.
    #[error("{0}")]
    Syntax(String),
    /// A key that means nothing.
    #[error("unknown key `{key}`{}", did_you_mean(suggestion.as_deref()))]
    UnknownKey {
        /// The key.
        key: String,
        /// The known one that is closest, when one is close.
        suggestion: Option<String>,
    },
    /// A key without which the table means nothing.
    #[error("`{key}` is missing; {wanted}")]
    Missing {
        /// The key.
        key: String,
        /// What belongs there.
        wanted: String,
    },
    /// A value of the wrong type.
    #[error("`{key}` is {found}; {wanted} belongs there")]
    WrongType {
        /// The key.
        key: String,
        /// What was found.
        found: &'static str,
        /// What belongs there.
        wanted: &'static str,
    },
    /// A number outside of what its key takes.
    #[error("`{key}` = {value} is out of range, it takes {least} to {most}")]
    OutOfRange {
        /// The key.
        key: String,
        /// The number.
        value: String,
        /// The least it takes.
        least: String,
        /// The most.
        most: String,
    },
    /// A word that is none of those that its key takes, or names nothing in the scenario.
    #[error("`{key}` = \"{word}\" is not known{}; {known}", did_you_mean(suggestion.as_deref()))]
    UnknownWord {
        /// The key.
        key: String,
        /// The word.
        word: String,
        /// The known one that is closest, when one is close.
        suggestion: Option<String>,
        /// What is known.
        known: String,
    },
    /// A value that contradicts others.
    #[error("`{key}`: {problem}")]
    Unfit {
        /// The key.
        key: String,
        /// What is wrong, and what to do.
        problem: String,
    },
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |known| format!("; did you mean `{known}`?"))
}

/// The word among `known` that somebody may have meant: one that differs in no more than half its
/// letters, or begins with what was written. The closest by the number of letters to change.
pub(super) fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    /// Letters at the start of a word that make it likely to be meant.
    const MIN_STEM: usize = 3;
    let near = |known: &'a str| {
        let distance = strsim::damerau_levenshtein(word, known);
        let longer = word.chars().count().max(known.chars().count());
        let cut_short = word.len() >= MIN_STEM && known.starts_with(word);
        (2 * distance <= longer || cut_short).then_some((distance, known))
    };
    known.into_iter().filter_map(near).min().map(|(_, known)| known.to_owned())
}
