//! Arguments, dispatch and exit codes.

mod arguments;
mod busy;
mod certify;
mod falsify;
mod files;
mod kernel;
mod learn;
mod paper;
mod predict;
mod tightness;
mod train;
mod verify;

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;
use std::sync::OnceLock;

use anyhow::{Context, anyhow};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

/// Do wide two-layer networks learn from adversarial perturbations? Put the theorem to the test.
///
/// Without a command, `verify` runs: on real MNIST and Fashion-MNIST images (embedded in the program) it trains
/// networks of growing width on clean data, trains others only on their adversarial perturbations with random labels,
/// and compares both with the closed-form infinite-width predictions, with a verdict per claim.
///
/// Exit status: 0 if all is well (for verify: no claim was rejected), 1 if a claim was rejected or a bound violated, 2 for
/// unusable input.
#[derive(Debug, Parser)]
#[command(name = "pertlearn", version, max_term_width = 110)]
#[command(override_usage = "pertlearn [COMMAND] [OPTIONS]")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Kernel(kernel::KernelArguments),
    Predict(predict::PredictArguments),
    Train(train::TrainArguments),
    Learn(learn::LearnArguments),
    Certify(certify::CertifyArguments),
    Verify(verify::VerifyArguments),
    Falsify(falsify::FalsifyArguments),
    Tightness(tightness::TightnessArguments),
    Paper(paper::PaperArguments),
    Merge(paper::MergeArguments),
}

/// What a command has to say about the claims it checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing was rejected.
    Held,
    /// At least one claim was rejected.
    Rejected,
}

impl Verdict {
    fn of(rejected: bool) -> Self {
        if rejected { Verdict::Rejected } else { Verdict::Held }
    }
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Held => ExitCode::SUCCESS,
            Verdict::Rejected => ExitCode::from(1),
        }
    }
}

/// An error with its causes, as far as it does not name them itself.
fn with_causes(error: &anyhow::Error) -> String {
    error.chain().skip(1).fold(error.to_string(), |text, cause| {
        let cause = cause.to_string();
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}

/// The first line that could not be printed.
static UNSAID: OnceLock<std::io::Error> = OnceLock::new();

/// Prints a line on standard output. If that fails, the command goes on, so that its files are written, and [`main`] ends
/// with an error. A reader that went away (a pipe into `head`) is none.
fn say(line: impl Display) {
    say_text(format_args!("{line}\n"));
}

/// The same without an end of line.
fn say_text(text: impl Display) {
    if let Err(error) = write!(std::io::stdout(), "{text}").and_then(|()| std::io::stdout().flush())
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        // The first is enough.
        let _ = UNSAID.set(error);
    }
}

/// Parses the arguments and runs the command.
pub fn main() -> ExitCode {
    let arguments = match parse() {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    let verdict = run(arguments.command).and_then(|verdict| match UNSAID.get() {
        Some(error) => Err(anyhow!("standard output: {error}")),
        None => Ok(verdict),
    });
    match verdict {
        Ok(verdict) => verdict.into(),
        Err(error) => {
            // Nobody may be listening; the exit status says it as well.
            let _ = writeln!(std::io::stderr(), "error: {}", with_causes(&error));
            ExitCode::from(2)
        }
    }
}

/// `verify` is the default: it is put in front of arguments that name no command.
fn parse() -> Result<Arguments, clap::Error> {
    let mut words: Vec<_> = std::env::args_os().collect();
    let command = Arguments::command();
    let names_a_command = words.get(1).is_some_and(|first| {
        let first = first.to_string_lossy();
        command.get_subcommands().any(|c| c.get_name() == first)
            || ["help", "--help", "-h", "--version", "-V"].contains(&first.as_ref())
            // A word that is no option and no command is a typing error: clap's own message is best.
            || !first.starts_with('-')
    });
    if !names_a_command {
        words.insert(1, "verify".into());
    }
    Arguments::from_arg_matches(&command.try_get_matches_from(words)?)
}

fn run(command: Command) -> anyhow::Result<Verdict> {
    let threads = match &command {
        Command::Kernel(arguments) => arguments.common.threads,
        Command::Predict(arguments) => arguments.common.threads,
        Command::Train(arguments) => arguments.common.threads,
        Command::Learn(arguments) => arguments.common.threads,
        Command::Certify(arguments) => arguments.common.threads,
        Command::Verify(arguments) => arguments.common.threads,
        Command::Falsify(arguments) => arguments.common.threads,
        Command::Tightness(arguments) => arguments.common.threads,
        Command::Paper(arguments) => arguments.common.threads,
        Command::Merge(_) => None,
    };
    if let Some(threads) = threads {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.get());
        pool.build_global().context("cannot start the threads")?;
    }
    match command {
        Command::Kernel(arguments) => kernel::run(&arguments),
        Command::Predict(arguments) => predict::run(&arguments),
        Command::Train(arguments) => train::run(&arguments),
        Command::Learn(arguments) => learn::run(&arguments),
        Command::Certify(arguments) => certify::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Falsify(arguments) => falsify::run(&arguments),
        Command::Tightness(arguments) => tightness::run(&arguments),
        Command::Paper(arguments) => paper::run(&arguments),
        Command::Merge(arguments) => paper::run_merge(&arguments),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever runs the program in a script learns of a rejected claim.
    #[test]
    fn a_rejected_claim_is_exit_status_1() {
        let status = |rejected| format!("{:?}", ExitCode::from(Verdict::of(rejected)));
        assert_eq!(status(false), format!("{:?}", ExitCode::from(0)));
        assert_eq!(status(true), format!("{:?}", ExitCode::from(1)));
    }
}
