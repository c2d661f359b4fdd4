//! Rules that users write, in TOML: read, checked, and put together with those that are built in.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::metric::{METRICS, named};
use super::{Comparison, Rule, Severity, built_in};
use crate::domain::name::RuleName;
use crate::domain::time::parse_duration;

/// Whose file it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Layer {
    /// The user's own.
    User,
    /// The one in the state directory, which may have come with a stranger's files: it adds rules, and
    /// leaves those of others alone.
    Project,
    /// One that was named on the command line.
    Given,
}

/// What a file says.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// There is a rule.
    Rule(Box<Rule>),
    /// A rule of this name does not count.
    Off(RuleName),
}

impl Said {
    /// The name of the rule it is about.
    #[must_use]
    pub fn name(&self) -> &RuleName {
        match self {
            Self::Rule(rule) => &rule.name,
            Self::Off(name) => name,
        }
    }
}

/// What is wrong with a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Wrong {
    /// In which line, from 1.
    pub line: usize,
    /// What.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default, rename = "rule")]
    rules: Vec<Spanned<Raw>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Raw {
    name: Spanned<String>,
    metric: Option<Spanned<String>>,
    comparison: Option<Spanned<String>>,
    threshold: Option<Spanned<Amount>>,
    window: Option<Spanned<String>>,
    #[serde(rename = "for")]
    hold: Option<Spanned<String>>,
    severity: Option<Spanned<String>>,
    summary: Option<Spanned<String>>,
    min_samples: Option<Spanned<u64>>,
    #[serde(default = "yes")]
    enabled: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Amount {
    Number(f64),
    Text(String),
}

const fn yes() -> bool {
    true
}

/// How long a summary may be, in characters.
const LONGEST: usize = 500;
/// The samples that a rule needs unless it says otherwise, where its metric has such.
const SAMPLES: u64 = 20;
/// The window of a rule that names none.
const WINDOW: Duration = Duration::from_mins(15);

/// Something that is wrong, and where: a place in the text.
type Fault = (usize, String, Option<String>);

fn fault<T>(value: &Spanned<T>, message: impl Into<String>) -> Fault {
    (value.span().start, message.into(), None)
}

/// Reads a file of rules; `source` is what its rules say of where they come from.
pub fn read(text: &str, source: &str) -> Result<Vec<Said>, Wrong> {
    let wrong = |(at, message, hint): Fault| {
        let before = text.get(..at).unwrap_or(text);
        Wrong { line: before.matches('\n').count() + 1, message, hint }
    };
    let file: File = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let form = "a rule is `[[rule]]` with name, metric, comparison, threshold, window, for, \
            severity, summary, min-samples and enabled; whom to tell is a setting, never a rule's";
        wrong((at, error.message().replace('\n', ", "), Some(form.to_owned())))
    })?;
    let (mut all, mut names) = (Vec::new(), BTreeSet::new());
    for raw in file.rules {
        let at = raw.span().start;
        let raw = raw.into_inner();
        let place = raw.name.span().start;
        let said = rule(&raw, at, source).map_err(wrong)?;
        if !names.insert(said.name().clone()) {
            let message = format!("there is a rule `{}` already", said.name());
            return Err(wrong((place, message, None)));
        }
        all.push(said);
    }
    Ok(all)
}

fn rule(raw: &Raw, at: usize, source: &str) -> Result<Said, Fault> {
    let name: RuleName = raw.name.get_ref().parse().map_err(|why| {
        fault(&raw.name, format!("`{}` is no name: {why}", raw.name.get_ref().escape_debug()))
    })?;
    if !raw.enabled {
        return Ok(Said::Off(name));
    }
    let missing = |what: &str| (at, format!("the rule `{name}` has no `{what}`"), None);
    let metric = raw.metric.as_ref().ok_or_else(|| missing("metric"))?;
    let metric = named(metric.get_ref()).ok_or_else(|| {
        let names: Vec<_> = METRICS.iter().map(|m| m.name).collect();
        let message = format!("there is no metric `{}`", metric.get_ref().escape_debug());
        (metric.span().start, message, Some(format!("metrics are {}", names.join(", "))))
    })?;
    let comparison = raw.comparison.as_ref().ok_or_else(|| missing("comparison"))?;
    let comparison = word(comparison, Comparison::ALL, Comparison::as_str)?;
    let threshold = raw.threshold.as_ref().ok_or_else(|| missing("threshold"))?;
    let value = match threshold.get_ref() {
        Amount::Number(number) => Some(*number).filter(|n| metric.unit.allows(*n)),
        Amount::Text(text) => metric.unit.read(text),
    };
    let value = value.ok_or_else(|| {
        fault(threshold, format!("the threshold of `{name}` must be {}", metric.unit.example()))
    })?;
    let severity = match &raw.severity {
        Some(severity) => word(severity, Severity::ALL, Severity::as_str)?,
        None => Severity::Warning,
    };
    let window = length(raw.window.as_ref(), WINDOW)?;
    if window < Duration::from_secs(1) {
        let place = raw.window.as_ref().map_or(at, |w| w.span().start);
        return Err((place, "the window must be a second or longer".to_owned(), None));
    }
    let min_samples = match &raw.min_samples {
        None if metric.has_samples() => SAMPLES,
        None => 1,
        Some(n) if *n.get_ref() == 0 => {
            return Err(fault(
                n,
                "`min-samples` must be 1 or more: nothing can be said of nothing",
            ));
        }
        Some(n) if *n.get_ref() > 1 && !metric.has_samples() => {
            return Err(fault(n, format!("`{}` is one value and has no samples", metric.name)));
        }
        Some(n) => *n.get_ref(),
    };
    let summary = match &raw.summary {
        None => String::new(),
        Some(text) if text.get_ref().chars().count() > LONGEST => {
            return Err(fault(text, format!("a summary has at most {LONGEST} characters")));
        }
        Some(text) if text.get_ref().chars().any(char::is_control) => {
            return Err(fault(text, "a summary is one line of text"));
        }
        Some(text) => text.get_ref().clone(),
    };
    let hold = length(raw.hold.as_ref(), Duration::ZERO)?;
    let source = source.to_owned();
    let mut rule = Rule {
        name,
        metric,
        comparison,
        threshold: value,
        window,
        hold,
        severity,
        summary,
        min_samples,
        source,
    };
    if rule.summary.is_empty() {
        rule.summary = rule.condition();
    }
    Ok(Said::Rule(Box::new(rule)))
}

fn word<T: Copy, const N: usize>(
    given: &Spanned<String>,
    all: [T; N],
    as_str: fn(T) -> &'static str,
) -> Result<T, Fault> {
    let found = all.into_iter().find(|one| as_str(*one) == given.get_ref());
    found.ok_or_else(|| fault(given, format!("expected one of `{}`", all.map(as_str).join("`, `"))))
}

fn length(given: Option<&Spanned<String>>, usual: Duration) -> Result<Duration, Fault> {
    let Some(given) = given else { return Ok(usual) };
    parse_duration(given.get_ref()).map_err(|why| fault(given, why.to_string()))
}

/// Puts the rules together: a later file replaces and switches off those of the same name, but a
/// project's. What a project may not say is told.
#[must_use]
pub fn combine(files: Vec<(Layer, String, Vec<Said>)>) -> (Vec<Rule>, Vec<String>) {
    let (mut rules, mut refused) = (built_in(), Vec::new());
    let mut taken: BTreeSet<RuleName> = rules.iter().map(|rule| rule.name.clone()).collect();
    let (projects, others): (Vec<_>, Vec<_>) =
        files.into_iter().partition(|(layer, ..)| *layer == Layer::Project);
    for said in others.into_iter().flat_map(|(_, _, said)| said) {
        taken.insert(said.name().clone());
        let place = rules.iter().position(|rule| rule.name == *said.name());
        match (said, place) {
            (Said::Rule(rule), Some(place)) => rules[place] = *rule,
            (Said::Rule(rule), None) => rules.push(*rule),
            (Said::Off(_), Some(place)) => drop(rules.remove(place)),
            (Said::Off(_), None) => {}
        }
    }
    for (_, file, said) in projects {
        for said in said {
            if taken.contains(said.name()) {
                refused.push(format!(
                    "`{file}`: a project cannot change or switch off the rule `{}`, which is built \
                     in or the user's",
                    said.name()
                ));
            } else if let Said::Rule(rule) = said {
                rules.push(*rule);
            }
        }
    }
    (rules, refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: &str = "
[[rule]]
name = 'slow'
metric = 'response-time-p99'
comparison = '>'
threshold = '1s'
for = '10m'
";

    #[test]
    fn a_rule_is_read_with_its_defaults() {
        let said = read(SLOW, "x").unwrap();
        let Said::Rule(rule) = &said[0] else { panic!("{said:?}") };
        assert_eq!(rule.condition(), "response-time-p99 > 1 s");
        assert_eq!((rule.summary.as_str(), rule.min_samples), ("response-time-p99 > 1 s", 20));
        assert_eq!((rule.window, rule.hold), (WINDOW, Duration::from_mins(10)));
        assert_eq!(rule.severity, Severity::Warning);
        assert!(read("", "x").unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (from, to, line, message) in [
            ("'slow'", "'s low'", 3, "`s low` is no name"),
            ("response-time-p99", "speed", 4, "there is no metric `speed`"),
            ("'>'", "'='", 5, "expected one of `>`, `>=`, `<`, `<=`"),
            ("'1s'", "'fast'", 6, "must be `150ms` or a number of seconds"),
            ("'1s'", "-1", 6, "must be `150ms`"),
            ("'10m'", "'soon'", 7, "expected a number with a unit"),
            ("for =", "command = 'rm'\nfor =", 7, "unknown field `command`"),
            ("for =", "url = 'http://x'\nfor =", 7, "unknown field `url`"),
            ("for =", "min-samples = 0\nfor =", 7, "1 or more"),
            ("for =", "window = '0s'\nfor =", 7, "a second or longer"),
            ("for =", "severity = 'bad'\nfor =", 7, "expected one of `info`"),
            ("for =", "summary = \"a\\nb\"\nfor =", 7, "one line"),
            ("threshold = '1s'", "", 2, "the rule `slow` has no `threshold`"),
            ("[[rule]]", "[[rule]", 2, ""),
        ] {
            let wrong = read(&SLOW.replace(from, to), "x").unwrap_err();
            assert_eq!(wrong.line, line, "{from} -> {to}: {wrong:?}");
            assert!(wrong.message.contains(message), "{wrong:?}");
        }
        let twice = format!("{SLOW}{SLOW}");
        assert_eq!(read(&twice, "x").unwrap_err().line, 10);
    }

    #[test]
    fn a_user_replaces_and_a_project_only_adds() {
        let file = |layer, text: &str| (layer, "f".to_owned(), read(text, "f").unwrap());
        let off = "[[rule]]\nname = 'memory-high'\nenabled = false\n";
        let own = SLOW.replace("slow", "availability-low");
        let (rules, refused) = combine(vec![file(Layer::User, off), file(Layer::Given, &own)]);
        assert!(refused.is_empty() && rules.len() == 4);
        assert_eq!(rules[3].condition(), "response-time-p99 > 1 s");
        let (rules, refused) =
            combine(vec![file(Layer::Project, &format!("{off}{SLOW}")), file(Layer::User, &own)]);
        assert_eq!((rules.len(), refused.len()), (6, 1));
        assert!(refused[0].contains("memory-high"));
        // What the user switched off stays so.
        let (rules, refused) = combine(vec![
            file(Layer::User, &off.replace("memory-high", "slow")),
            file(Layer::Project, SLOW),
        ]);
        assert_eq!((rules.len(), refused.len()), (5, 1));
    }
}
