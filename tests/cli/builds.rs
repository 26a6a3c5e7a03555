//! The same numbers to the last bit for every number of threads, from run to run, and from every build of this source.
//!
//! Across processors the bits may differ (`docs/speed.md` says by how much they do, and what follows; `processors.rs` tests
//! it): products choose their blocking and their fused instructions by what the processor offers, and the order of a sum
//! decides its last bits. Within one processor nothing that is computed depends on the build: Rust neither fuses nor
//! reorders floating-point operations, and blocks are cut by sizes, not by threads.

use std::process::Command;

use crate::place::{Place, text};

/// Set to another build's `pertlearn` to compare its numbers with this one's; `.ci/run` does with the release build and
/// with one that is not optimised.
const OTHER: &str = "PERTLEARN_OTHER";

/// Everything that computes: flow, descent on every route and in both precisions, kernels, predictors.
fn commands() -> Vec<String> {
    let small = "--data shifted-gauss --input-dim 20 --train-count 150 --test-count 40 --epsilon 0.1";
    let descent = "--descent --learning-rate 1 --learning-rate-perturbed 0.5 --momentum 0.9 --plateau";
    let learn = |data: &str, rest: &str| format!("learn {data} {rest} --json -");
    vec![
        learn(small, "--scenario a --width 40 --flow --time 1 --time-perturbed 2"),
        learn(small, &format!("--scenario a --width 40 {descent} --steps 150 --steps-perturbed 100")),
        learn(small, &format!("--scenario b --width 40 {descent} --steps 60 --steps-perturbed 60 --precision f32")),
        learn(small, &format!("--scenario b --width 40 {descent} --steps 40 --steps-perturbed 40 --loss logistic")),
        learn(small, &format!("--scenario a --width 600 {descent} --steps 10 --steps-perturbed 10 --loss squared")),
        // From 64 neurons on sums are looked up, in descent and at the start of a flow.
        learn(small, &format!("--scenario b --width 90 {descent} --steps 30 --steps-perturbed 30 --loss exponential")),
        learn(
            small,
            &format!(
                "--scenario a --width 90 {descent} --steps 30 --loss logistic --precision f32 --steps-perturbed 30"
            ),
        ),
        // Blocks of steps by the tangent kernel.
        learn(
            "--data shifted-gauss --input-dim 60 --train-count 200 --test-count 40 --epsilon 0.1",
            &format!("--scenario a --width 100 {descent} --steps 90 --loss logistic --steps-perturbed 90"),
        ),
        learn(small, "--scenario b --width 700 --flow --time 1 --time-perturbed 2"),
        // Networks that threads share.
        "verify --data shifted-gauss --input-dim 10 --train-count 40 --widths 64,128,512 --networks 4 --json -".into(),
        // A sample of pairs of neurons, and the observations of a hunt.
        "certify --data shifted-gauss --input-dim 20 --train-count 60 --test-count 20 --scenario a --epsilon 2 --time 2 \
         --time-perturbed 0.3 --failure-probability 0.1 --width 65536 --samples 2000 --json -"
            .into(),
        "falsify --bound W9 --evaluations 64 --json -".into(),
        // So many points that threads share the Gram matrix, not the neurons.
        learn(
            "--data gauss --input-dim 4 --train-count 1500 --test-count 20 --epsilon 0.1",
            &format!("--scenario b --width 9 {descent} --steps 25 --steps-perturbed 25"),
        ),
    ]
}

/// Standard output of a command without the record of the run, which holds times and arguments.
fn numbers(program: &str, words: &str, threads: usize) -> serde_json::Value {
    let place = Place::empty();
    let mut command = Command::new(program);
    command.args(words.split_whitespace()).args(["--threads", &threads.to_string()]).current_dir(place.path("."));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{words}\n{}", text(&output.stderr));
    let mut document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(document.as_object_mut().unwrap().remove("run").is_some());
    document
}

#[test]
fn numbers_do_not_depend_on_threads_on_the_run_or_on_the_build() {
    let this = env!("CARGO_BIN_EXE_pertlearn");
    let other = std::env::var(OTHER).ok().map(|path| std::fs::canonicalize(path).unwrap().display().to_string());
    for words in commands() {
        let expected = numbers(this, &words, 1);
        for threads in [2, 7, 2] {
            assert_eq!(numbers(this, &words, threads), expected, "{threads} threads: {words}");
        }
        if let Some(other) = &other {
            assert_eq!(numbers(other, &words, 2), expected, "{other}: {words}");
        }
    }
}
