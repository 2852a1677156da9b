//! Which flags were given, on the command line or by their twins in the environment, so that those
//! nothing would come of are refused instead of being passed over.

use std::collections::BTreeMap;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};

use crate::failure::{Failure, Result};

/// A flag, by its name with `_`, whether it changes nothing as things are, and why.
pub(crate) type Rule = (&'static str, bool, &'static str);

/// The flags of a verb that somebody set. It has to be the first field of a verb's flags: those
/// before it would be missing, as each is taken out of the parser's hands when it is read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given(BTreeMap<String, ValueSource>);

impl Given {
    /// Whether the flag was given.
    pub(crate) fn has(&self, flag: &str) -> bool {
        self.0.contains_key(&id(flag))
    }

    /// Refuses those of `flags` that were given, where `is_idle`: they change nothing `because`.
    pub(crate) fn refuse(&self, is_idle: bool, flags: &[&str], because: &str) -> Result<()> {
        let given = flags.iter().find(|flag| is_idle && self.has(flag));
        given.map_or(Ok(()), |flag| Err(self.changes_nothing(flag, because)))
    }

    /// Refuses the first flag that was given and changes nothing by a rule.
    pub(crate) fn refuse_by(&self, rules: &[Rule]) -> Result<()> {
        let mut rules = rules.iter();
        let idle = rules.find(|(flag, is_idle, _)| *is_idle && self.has(flag));
        idle.map_or(Ok(()), |(flag, _, because)| Err(self.changes_nothing(flag, because)))
    }

    fn changes_nothing(&self, flag: &str, because: &str) -> Failure {
        let (id, name) = (id(flag), flag.replace('_', "-"));
        let from = match self.0.get(&id) {
            Some(ValueSource::EnvVariable) => format!(" (OFFRAMP_{})", id.to_uppercase()),
            _ => String::new(),
        };
        Failure::Usage(format!("--{name}{from} changes nothing {because}: leave it out"))
    }
}

/// Flags go by the names of their fields.
fn id(flag: &str) -> String {
    flag.replace('-', "_")
}

impl FromArgMatches for Given {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        // A switch that is off in the environment asks for nothing.
        let is_off = |id: &&str| matches!(matches.try_get_one::<bool>(id), Ok(Some(false)));
        let ids = matches.ids().map(|id| id.as_str()).filter(|id| !is_off(id));
        let given = ids.filter_map(|id| Some((id.to_owned(), matches.value_source(id)?)));
        Ok(Self(given.filter(|(_, source)| *source != ValueSource::DefaultValue).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// It adds no flag.
impl Args for Given {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser, Debug)]
    struct Flags {
        #[command(flatten)]
        given: Given,
        #[arg(long, default_value = "3")]
        most_rows: u32,
        #[arg(long)]
        fast: bool,
        #[arg(long)]
        name: Option<String>,
    }

    fn given(args: &[&str]) -> Given {
        let flags = Flags::parse_from([&["x"], args].concat());
        assert!(flags.most_rows > 0 && (flags.fast || flags.name.is_none() || !args.is_empty()));
        flags.given
    }

    #[test]
    fn only_what_was_given_is_refused_and_only_where_it_is_idle() {
        let none = given(&[]);
        assert!(!none.has("most-rows") && !none.has("fast") && !none.has("name"));
        // Its default given in so many words is given.
        let some = given(&["--most-rows", "3", "--name", "x"]);
        assert!(some.has("most-rows") && some.has("name") && !some.has("fast"));
        assert!(some.refuse(false, &["most-rows"], "here").is_ok());
        assert!(some.refuse(true, &["fast"], "here").is_ok());
        let refused = some.refuse(true, &["fast", "most-rows"], "with --name").unwrap_err();
        let expected = "--most-rows changes nothing with --name: leave it out";
        assert_eq!((refused.to_string().as_str(), refused.exit_code()), (expected, 2));
    }
}
