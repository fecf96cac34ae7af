use crate::Failure;

/// What may be on the command line.
pub const USAGE: &str = "\
usage: bench select|peers|topology|health [--json] [--quick] [--seed N] [--events N] [--only WORD]
       bench topology --peers [--million] [--graphs DIR]
       eval forecast [--json] [--quick] [--seed N] [--only WORD] [--walks DIR]
       eval graphs DIR
       eval healing [--json] [--quick] [--seed N] [--only WORD] [--graphs DIR]
       eval anomaly DIR [--json] [--quick] [--seed N] [--only WORD]
       eval linkstate [--json] [--quick] [--seed N] [--only WORD]
       eval risk [--json] [--quick] [--seed N] [--only WORD] [--walks DIR]
  --json      print one JSON object and nothing else
  --quick     fewer and smaller runs, for a first look
  --seed N    seed of everything random, 1 unless given
  --events N  black holes to survive, 200 unless given (20 with --quick)
  --only WORD measure only the groups whose name contains WORD
  --walks DIR judge forecasts on the walks in DIR too: CSV files, user,t_s,x_m,y_m
  --peers     install other libraries below target/ and measure against them
  --million   up to a million peers
  --graphs DIR topology: measure the diameter of the graphs that DIR/truth.json names there too;
              healing: heal the community networks among the edge lists of DIR too";

/// A parsed command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arguments {
    /// Print JSON.
    pub json: bool,
    /// Fewer and smaller runs.
    pub quick: bool,
    /// Seed of everything random.
    pub seed: u64,
    /// Black holes to survive.
    pub events: usize,
    /// Directory of walks.
    pub walks: Option<String>,
    /// Measure against other libraries.
    pub peers: bool,
    /// Up to a million peers there.
    pub million: bool,
    /// Directory of graphs with a `truth.json`.
    pub graphs: Option<String>,
    only: Option<String>,
}

impl Arguments {
    /// Reads the words behind the program's name.
    ///
    /// # Errors
    /// [`Failure::Usage`] naming the first word that is wrong.
    pub fn parse(words: &[String]) -> Result<Self, Failure> {
        let mut parsed = Self {
            json: false,
            quick: false,
            seed: 1,
            events: 0,
            walks: None,
            peers: false,
            million: false,
            graphs: None,
            only: None,
        };
        let mut events = None;
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value =
                || words.next().ok_or_else(|| Failure::Usage(format!("`{word}` wants a value")));
            match word.as_str() {
                "--json" => parsed.json = true,
                "--quick" => parsed.quick = true,
                "--peers" => parsed.peers = true,
                "--million" => parsed.million = true,
                "--seed" => parsed.seed = number(word, value()?)?,
                "--events" => events = Some(number(word, value()?)?),
                "--graphs" => parsed.graphs = Some(value()?.clone()),
                "--walks" => parsed.walks = Some(value()?.clone()),
                "--only" => parsed.only = Some(value()?.clone()),
                other => return Err(Failure::Usage(format!("`{other}` means nothing here"))),
            }
        }
        let events = events.unwrap_or(if parsed.quick { 20 } else { 200 });
        parsed.events = usize::try_from(events).unwrap_or(usize::MAX).clamp(1, 10_000);
        Ok(parsed)
    }

    /// Whether a group of rows is wanted.
    pub fn wants(&self, group: &str) -> bool {
        self.only.as_ref().is_none_or(|word| group.contains(word.as_str()))
    }

    /// Whether some groups only are wanted.
    pub fn names_a_group(&self) -> bool {
        self.only.is_some()
    }

    /// One of two sizes.
    pub fn size<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

fn number(option: &str, text: &str) -> Result<u64, Failure> {
    text.parse().map_err(|_| Failure::Usage(format!("`{option}` wants a number, not `{text}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, Failure> {
        Arguments::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn every_option_is_obeyed_and_every_other_word_refused() {
        let all =
            parse("--json --quick --seed 7 --events 3 --only send --walks here --peers --million --graphs there")
                .unwrap();
        assert!(all.json && all.quick && all.peers && all.million);
        assert_eq!(all.graphs.as_deref(), Some("there"));
        assert!(all.wants("full send") && !all.wants("lookup") && all.names_a_group());
        assert_eq!((all.seed, all.events, all.walks.as_deref()), (7, 3, Some("here")));
        assert_eq!(parse("").unwrap().events, 200);
        assert_eq!(parse("--quick").unwrap().events, 20);
        assert!(!parse("--quick").unwrap().names_a_group());
        for wrong in ["--seed", "--seed x", "more"] {
            assert!(matches!(parse(wrong), Err(Failure::Usage(_))), "{wrong}");
        }
    }
}
