//! `--config`: flags from a file. What the command line or the environment says goes first.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, Parser};
use toml::{Table, Value};

use crate::failure::{Failure, Result};
use crate::out::note;
use crate::text;

/// The flag that names the file.
const FLAG: &str = "config";

/// Parses the command line, with the file's flags where it names one; ends the process where it
/// cannot be parsed, as clap does.
///
/// # Errors
/// The file cannot be read, is no TOML, or has keys that the verb has no flag for.
pub(crate) fn parse<C: Parser>() -> Result<C> {
    let args: Vec<OsString> = std::env::args_os().collect();
    let command = without_empty_twins(C::command());
    let Some((path, more)) = from_file(&command, &args)? else {
        return Ok(matched(command, args).unwrap_or_else(|error| error.exit()));
    };
    // Behind the verb, in front of all other flags.
    let verb = args.iter().skip(1).position(|arg| !is_flag(arg)).map_or(1, |at| at + 2);
    let all = args[..verb].iter().cloned().chain(more).chain(args[verb..].iter().cloned());
    matched(command, all).map_err(|error| {
        note(format_args!("some flags come from {}", path.display()));
        error.exit()
    })
}

fn matched<C: Parser>(
    mut command: Command,
    args: impl IntoIterator<Item = OsString>,
) -> Result<C, clap::Error> {
    let given = command.try_get_matches_from_mut(args)?;
    C::from_arg_matches(&given).map_err(|error| error.format(&mut command))
}

/// An empty variable counts as unset, as compose files and manifests leave them: its flag is not
/// looked up in the environment.
fn without_empty_twins(command: Command) -> Command {
    command.mut_subcommands(|verb| {
        verb.mut_args(|arg| match arg.get_env() {
            Some(twin) if std::env::var_os(twin).is_some_and(|value| value.is_empty()) => {
                arg.env(None)
            }
            _ => arg,
        })
    })
}

fn is_flag(arg: &OsStr) -> bool {
    arg.to_string_lossy().starts_with('-')
}

type FromFile = Option<(PathBuf, Vec<OsString>)>;

/// The file, and the flags in it that nothing else says.
fn from_file(command: &Command, args: &[OsString]) -> Result<FromFile> {
    let guess = command.clone().ignore_errors(true).try_get_matches_from(args);
    let Ok(matches) = guess else { return Ok(None) };
    let Some((verb, given)) = matches.subcommand() else { return Ok(None) };
    let Some(verb) = command.find_subcommand(verb) else { return Ok(None) };
    if !verb.get_arguments().any(|arg| arg.get_id() == FLAG) {
        return Ok(None);
    }
    let named = given.get_one::<PathBuf>(FLAG).cloned();
    let twin = || set_twin(OsStr::new("OFFRAMP_CONFIG")).map(PathBuf::from);
    let Some(path) = named.or_else(twin) else { return Ok(None) };
    let more = flags(verb, given, &read(&path)?, &path)?;
    Ok(Some((path, more)))
}

fn set_twin(twin: &OsStr) -> Option<OsString> {
    std::env::var_os(twin).filter(|value| !value.is_empty())
}

fn read(path: &Path) -> Result<Table> {
    parsed(&text::read(path)?, path)
}

/// The keys of a file's text; `path` is for complaints.
pub(crate) fn parsed(text: &str, path: &Path) -> Result<Table> {
    text.parse().map_err(|error| bad(path, error))
}

fn bad(path: &Path, message: impl std::fmt::Display) -> Failure {
    Failure::Usage(format!("{}: {message}", path.display()))
}

/// A flag for every key that nothing else says.
pub(crate) fn flags(
    verb: &Command,
    given: &ArgMatches,
    table: &Table,
    path: &Path,
) -> Result<Vec<OsString>> {
    let mut flags = Vec::new();
    for (key, value) in table {
        let arg = verb.get_arguments().find(|arg| is_for(arg, key)).ok_or_else(|| {
            let keys: Vec<String> = verb.get_arguments().filter_map(key_of).collect();
            bad(path, format!("unknown key `{key}`, expected one of {}", keys.join(", ")))
        })?;
        let is_said = given.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine)
            || arg.get_env().is_some_and(|twin| set_twin(twin).is_some());
        let long = key.replace('_', "-");
        let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
        match (value, is_switch) {
            _ if is_said => {}
            (Value::Boolean(is_on), true) if *is_on => flags.push(format!("--{long}").into()),
            (Value::Boolean(_), true) => {}
            (Value::String(text), false) => flags.push(format!("--{long}={text}").into()),
            (Value::Integer(_) | Value::Float(_), false) => {
                flags.push(format!("--{long}={value}").into());
            }
            (other, _) => {
                let expected = if is_switch { "true or false" } else { "a text or a number" };
                let found = other.type_str();
                return Err(bad(path, format!("`{key}`: expected {expected}, found {found}")));
            }
        }
    }
    Ok(flags)
}

fn is_for(arg: &Arg, key: &str) -> bool {
    key_of(arg).as_deref() == Some(key)
}

/// A flag's name in the file.
fn key_of(arg: &Arg) -> Option<String> {
    let long = arg.get_long()?;
    let is_ours = ![FLAG, "help", "version"].contains(&long);
    is_ours.then(|| long.replace('-', "_"))
}
