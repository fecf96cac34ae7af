//! Crowds made of walks that people took.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use fastrand::Rng;

use super::motion::{Crowd, Place};
use crate::Failure;

/// A person unheard for longer, in seconds, has ended a walk.
const LONGEST_GAP: f64 = 60.0;
/// Shorter walks, in seconds, say little.
const SHORTEST_WALK: usize = 120;

/// Somebody's places, second by second.
type Walk = Vec<Place>;

/// The walks of each person in the CSV files of a directory: `user,t_s,x_m,y_m`, in metres and
/// seconds, ascending within a person. Places between two lines lie on the line between.
///
/// # Errors
/// [`Failure::Broken`] naming the file and line that is wrong, or when nobody walks.
pub(super) fn read(directory: &Path) -> Result<Vec<Vec<Walk>>, Failure> {
    let shown = directory.display().to_string();
    let entries = fs::read_dir(directory).map_err(|e| Failure::broken(&shown, e))?;
    let paths: Result<Vec<_>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(|e| Failure::broken(&shown, e))?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "csv"));
    paths.sort_unstable();
    let mut people = Vec::new();
    for path in paths {
        let name = path.display().to_string();
        let text = fs::read_to_string(&path).map_err(|e| Failure::broken(&name, e))?;
        people.extend(
            walks(&text)
                .map_err(|(line, why)| Failure::Broken(format!("{name}, line {line}: {why}")))?,
        );
    }
    people.retain(|walks: &Vec<Walk>| !walks.is_empty());
    if people.len() < 2 {
        return Err(Failure::Broken(format!(
            "{shown}: two people or more must walk for {SHORTEST_WALK} s or more, in .csv files"
        )));
    }
    Ok(people)
}

fn walks(text: &str) -> Result<Vec<Vec<Walk>>, (usize, String)> {
    const HEAD: &str = "user,t_s,x_m,y_m";
    let mut lines = text.lines().zip(1..);
    if lines.next().is_none_or(|(head, _)| head.trim() != HEAD) {
        return Err((1, format!("`{HEAD}` expected")));
    }
    let mut people: BTreeMap<&str, Vec<(f64, Place)>> = BTreeMap::new();
    for (line, at) in lines {
        let fields: Vec<&str> = line.trim().split(',').collect();
        let [user, fields @ ..] = fields.as_slice() else { continue };
        let numbers: Vec<f64> = fields.iter().filter_map(|field| field.parse().ok()).collect();
        let [t, x, y] = numbers[..] else {
            return Err((at, format!("a user and three numbers expected, not `{line}`")));
        };
        let seen = people.entry(user).or_default();
        if ![t, x, y].iter().all(|number| number.is_finite()) {
            return Err((at, format!("finite numbers expected, not `{line}`")));
        }
        match seen.last() {
            Some(last) if t < last.0 => {
                return Err((at, format!("a time not before the last of user {user} expected")));
            }
            // Seen twice in one second: the first place stands.
            Some(last) if t == last.0 => {}
            _ => seen.push((t, (x, y))),
        }
    }
    Ok(people.into_values().map(|seen| person(&seen)).collect())
}

fn person(seen: &[(f64, Place)]) -> Vec<Walk> {
    let unbroken = seen.chunk_by(|a, b| b.0 - a.0 <= LONGEST_GAP);
    let walk = |seen: &[(f64, Place)]| {
        let mut walk = Walk::new();
        for pair in seen.windows(2) {
            let ((t, a), (end, b)) = (pair[0], pair[1]);
            // The next whole second after the start of the walk; gaps bound the number of turns.
            while seen[0].0 + (walk.len() as f64) < end {
                let share = (seen[0].0 + walk.len() as f64 - t) / (end - t);
                walk.push((a.0 + share * (b.0 - a.0), a.1 + share * (b.1 - a.1)));
            }
        }
        walk
    };
    unbroken.map(walk).filter(|walk| walk.len() >= SHORTEST_WALK).collect()
}

/// A crowd of `peers` that walk these people's walks, from random moments on. Who comes to an end
/// walks back.
pub(super) fn crowd(people: &[Vec<Walk>], peers: usize, seconds: usize, rng: &mut Rng) -> Crowd {
    let walks: Vec<&Walk> = people.iter().flatten().collect();
    let chosen: Vec<(&Walk, usize)> = (0..peers)
        .filter_map(|_| rng.choice(&walks).map(|walk| (*walk, rng.usize(..2 * walk.len()))))
        .collect();
    let place = |(walk, start): &(&Walk, usize), second: usize| {
        let at = (start + second) % (2 * walk.len());
        walk[at.min(2 * walk.len() - 1 - at)]
    };
    let row = |second| chosen.iter().map(|one| place(one, second)).collect();
    Crowd { seconds: (0..seconds).map(row).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_are_filled_between_lines_and_end_at_a_gap() {
        let mut text = "user,t_s,x_m,y_m\n".to_owned();
        for second in (0..=240).step_by(40) {
            text += &format!("7,{second},{second},1\n9,{second},0,0\n");
        }
        text += "7,240,8,8\n7,301,9,9\n";
        let people = walks(&text).unwrap();
        assert_eq!(people.len(), 2);
        assert_eq!(people[0].len(), 1);
        assert_eq!(people[0][0].len(), 240);
        assert_eq!(people[0][0][13], (13.0, 1.0));
        let crowd = crowd(&people[..1], 3, 700, &mut Rng::with_seed(1));
        let steps = crowd.seconds.windows(2).flat_map(|pair| pair[0].iter().zip(&pair[1]));
        assert!(steps.clone().all(|(a, b)| (a.0 - b.0).abs() <= 1.0 && b.1 == 1.0));
        assert_eq!(steps.filter(|(a, b)| a == b).count(), 3 * 699 / 240);
    }

    #[test]
    fn what_is_no_walk_is_refused_with_its_line() {
        for (text, line) in [
            ("", 1),
            ("user,t\n", 1),
            ("user,t_s,x_m,y_m\n1,2,3\n", 2),
            ("user,t_s,x_m,y_m\n1,2,3,4\n1,3,x,4\n", 3),
            ("user,t_s,x_m,y_m\n1,2,3,4\n1,1,3,4\n", 3),
            ("user,t_s,x_m,y_m\n1,inf,3,4\n", 2),
        ] {
            assert_eq!(walks(text).unwrap_err().0, line, "{text}");
        }
    }
}
