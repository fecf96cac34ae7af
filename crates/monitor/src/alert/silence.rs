use std::time::Duration;

use bitcraps_types::Timestamp;
use serde::{Deserialize, Serialize};

use super::{AlertKey, AlertKind, Subject};

/// Silences at once at most: people make them one at a time.
const MAX_SILENCES: usize = 64;
/// Longest author and comment, in bytes: a name, and a sentence or two.
const MAX_TEXT: usize = 256;
/// Longest silence: what is to be quiet for longer has a threshold that is wrong.
const MAX_LIFE: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Which alerts a silence is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matcher {
    /// Of this kind.
    pub kind: AlertKind,
    /// About this; whatever it is about when `None`.
    pub subject: Option<Subject>,
}

impl Matcher {
    fn matches(&self, key: &AlertKey) -> bool {
        self.kind == key.kind && self.subject.is_none_or(|subject| subject == key.subject)
    }
}

/// Nobody is told of some alerts for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    /// Its number; none is used twice.
    pub id: u32,
    /// Which alerts.
    pub matcher: Matcher,
    /// Who asked for it.
    pub author: String,
    /// Why.
    pub comment: String,
    /// When it ends.
    pub until: Timestamp,
}

/// Why there is no such silence. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SilenceError {
    /// There are as many as are kept.
    #[error("there are {MAX_SILENCES} silences already; end one first")]
    TooMany,
    /// An author or a comment is too long.
    #[error("{0} bytes of text are more than the {MAX_TEXT} that a silence has room for")]
    TooLong(usize),
    /// Nobody asks for it.
    #[error("a silence needs an author")]
    NoAuthor,
    /// It would last too long.
    #[error("{}s is longer than a silence may last, {}s", .0.as_secs(), MAX_LIFE.as_secs())]
    TooLasting(Duration),
    /// None has this number.
    #[error("no silence has the number {0}")]
    Unknown(u32),
}

/// The silences in force.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Silences {
    all: Vec<Silence>,
    last: u32,
}

impl Silences {
    /// Begins one, and gives its number.
    ///
    /// # Errors
    /// [`SilenceError`], except that none is unknown.
    pub fn begin(
        &mut self,
        matcher: Matcher,
        author: &str,
        comment: &str,
        life: Duration,
        now: Timestamp,
    ) -> Result<u32, SilenceError> {
        self.expire(now);
        if author.trim().is_empty() {
            return Err(SilenceError::NoAuthor);
        }
        if let Some(long) = [author, comment].into_iter().find(|text| text.len() > MAX_TEXT) {
            return Err(SilenceError::TooLong(long.len()));
        }
        if life > MAX_LIFE {
            return Err(SilenceError::TooLasting(life));
        }
        if self.all.len() >= MAX_SILENCES {
            return Err(SilenceError::TooMany);
        }
        self.last += 1;
        self.all.push(Silence {
            id: self.last,
            matcher,
            author: author.to_owned(),
            comment: comment.to_owned(),
            until: now + life,
        });
        Ok(self.last)
    }

    /// Ends one.
    ///
    /// # Errors
    /// [`SilenceError::Unknown`].
    pub fn end(&mut self, id: u32) -> Result<(), SilenceError> {
        let place = self.all.iter().position(|silence| silence.id == id);
        let place = place.ok_or(SilenceError::Unknown(id))?;
        self.all.remove(place);
        Ok(())
    }

    /// Those in force, the oldest first.
    pub fn iter(&self, now: Timestamp) -> impl Iterator<Item = &Silence> {
        self.all.iter().filter(move |silence| now < silence.until)
    }

    /// The oldest one that is for an alert.
    pub(super) fn of(&self, key: &AlertKey, now: Timestamp) -> Option<u32> {
        self.iter(now).find(|silence| silence.matcher.matches(key)).map(|silence| silence.id)
    }

    fn expire(&mut self, now: Timestamp) {
        self.all.retain(|silence| now < silence.until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RISK: AlertKey = AlertKey::of_network(AlertKind::PartitionRisk);

    fn at(second: u64) -> Timestamp {
        Timestamp::from_millis(second * 1_000)
    }

    fn all_of(kind: AlertKind) -> Matcher {
        Matcher { kind, subject: None }
    }

    #[test]
    fn a_silence_is_for_what_it_names_until_it_ends() {
        let mut silences = Silences::default();
        let life = Duration::from_secs(60);
        let matcher = all_of(AlertKind::PartitionRisk);
        let id = silences.begin(matcher, "ann", "maintenance", life, at(0)).unwrap();
        assert_eq!(silences.of(&RISK, at(59)), Some(id));
        assert_eq!(silences.of(&RISK, at(60)), None);
        let split = AlertKey::of_network(AlertKind::NetworkPartitioned);
        assert_eq!(silences.of(&split, at(1)), None);
        let elsewhere = Matcher {
            kind: AlertKind::PartitionRisk,
            subject: Some(Subject::Transport(bitcraps_types::TransportType::Internet)),
        };
        silences.end(id).unwrap();
        assert_eq!(silences.end(id), Err(SilenceError::Unknown(id)));
        let second = silences.begin(elsewhere, "ann", "", life, at(0)).unwrap();
        assert_eq!((second, silences.of(&RISK, at(1))), (id + 1, None));
    }

    #[test]
    fn silences_are_bounded_in_every_way() {
        let mut silences = Silences::default();
        let risk = all_of(AlertKind::PartitionRisk);
        let mut begin = |author: &str, comment: &str, life, now| {
            silences.begin(risk, author, comment, Duration::from_secs(life), at(now))
        };
        assert_eq!(begin(" ", "", 1, 0), Err(SilenceError::NoAuthor));
        let long = "x".repeat(MAX_TEXT + 1);
        assert_eq!(begin("a", &long, 1, 0), Err(SilenceError::TooLong(257)));
        let life = MAX_LIFE + Duration::from_secs(1);
        assert_eq!(begin("a", "", life.as_secs(), 0), Err(SilenceError::TooLasting(life)));
        for _ in 0..MAX_SILENCES {
            begin(&long[1..], "", 10, 0).unwrap();
        }
        assert_eq!(begin("a", "", 10, 9), Err(SilenceError::TooMany));
        // What is over makes room.
        assert_eq!(begin("a", "", 10, 10), Ok(65));
    }
}
