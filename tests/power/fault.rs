//! The faults: every value is one wrong theory, program, flow or bound, with marks for the statements it contradicts.

/// Where a fault lives, and so which half of an instrument is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Theory,
    Program,
    Flow,
    Bound,
}

macro_rules! faults {
    ($($place:ident { $($(#[$text:meta])* $name:ident,)* })*) => {
        /// One thing that is wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Fault { $($($(#[$text])* $name,)*)* }

        /// All faults, and where they live.
        pub const FAULTS: &[(Fault, Place)] = &[$($((Fault::$name, Place::$place),)*)*];
    };
}

faults! {
Theory {
    //= power D1@97175bee
    //= power D7@e5361188
    /// The angle of (x, 0), (z, 0) in Φ.
    BiasDroppedFromDual,
    //= power K2@94516c8d
    /// ⟨x,z⟩ for ⟨x,z⟩ + 1 in Θ.
    BiasDroppedFromKernel,
    //= power D1@97175bee
    //= power K2@94516c8d
    /// Both: what the authors' statistics leave out of Θ, and the angle with it.
    BiasDroppedFromBoth,
    //= power D1@97175bee
    /// γ for γ² in Φ.
    SlopeUnsquared,
    //= power D1@97175bee
    //= power D4@4f89269b
    /// π − θ and θ exchanged.
    AngleForSupplement,
    //= power N1@de793693
    //= power D1@97175bee
    /// Weights of variance 1 for 1/d: the angle of (x, 1), (z, 1).
    FanInForgotten,
    //= power K2@94516c8d
    /// The sum over training points for their mean.
    SumForMean,
    //= power K2@94516c8d
    /// −y for y.
    LabelsFlippedInTheory,
    //= power K3@d7254348
    /// The kernel of both layers for hidden-layer training.
    BothLayersForOne,
    //= power K2@94516c8d
    /// The kernel of points that were standardised once more.
    StandardisedTwice,
    //= power W1@23ae4143
    /// Var X·0.9.
    VarianceTenPercentLow,
    //= power W1@23ae4143
    /// Var X·1.1.
    VarianceTenPercentHigh,
    //= power W1@23ae4143
    /// E ω² = 1 for Gaussian readouts.
    FourthMomentOne,
    //= power W1@23ae4143
    //= power N1@de793693
    /// Var X/m for antisymmetric pairs.
    PairsAsIndependent,
    //= power W1@23ae4143
    /// E X² for Var X.
    SecondMomentForVariance,
    //= power K6@504f2fee
    //= power A5@1ae712df
    /// f₀ = 0 under standard initialisation.
    StartForgotten,
    //= power D3@f2096504
    //= power K6@504f2fee
    /// Σ of unit vectors.
    ScaleDroppedFromStart,
    //= power P1@e5c64ecb
    //= power P3@030f5369
    //= power D8@77dec425
    /// v for v + b.
    BoundaryDropped,
    //= power P1@e5c64ecb
    //= power P3@030f5369
    //= power D8@77dec425
    /// v − b for v + b.
    BoundaryReversed,
    //= power P1@e5c64ecb
    /// Σ y Θ(x_k, x) x_k for v.
    TangentKernelInDirection,
    //= power K4@e1ba67e9
    /// e^{−TΘ} for e^{−TΘ/N}.
    SquaredLacksCount,
    //= power K4@e1ba67e9
    /// y for y − f₀(X).
    SquaredForgetsStart,
    //= power K5@5687c941
    /// T = ηn with momentum.
    MomentumIgnored,
    //= power K5@5687c941
    /// T = ηn/(1−β): momentum as if it were steady from the start.
    MomentumAlwaysSteady,
    //= power K5@5687c941
    /// The time of n + 1 steps.
    TimeOffByOneStep,
}
Program {
    //= power N1@de793693
    /// a ~ ±1.
    ReadoutVarianceOne,
    //= power N1@de793693
    /// a ~ ±1/m.
    ReadoutVarianceSquared,
    //= power N1@de793693
    //= power W1@23ae4143
    /// a uniform, with the right variance.
    ReadoutsNotOfSizeOne,
    //= power N1@de793693
    //= power K6@504f2fee
    /// a = +1/√m always.
    ReadoutsOfOneSign,
    //= power N1@de793693
    /// w ~ N(0, I).
    WeightsWithoutFanIn,
    //= power N1@de793693
    /// b = 0 at initialisation.
    BiasNotDrawn,
    //= power N1@de793693
    /// Antisymmetric readouts with hidden weights of their own.
    PairsNotPaired,
    //= power N2@064d315e
    /// The bias does not move.
    BiasFrozen,
    //= power N2@064d315e
    /// Forces of −y.
    LabelsFlippedInTraining,
    //= power N2@064d315e
    /// The sum of the losses for their mean.
    LossSummed,
    //= power N2@064d315e
    /// φ' = γ for u ≥ 0, 1 for u < 0 in training.
    DerivativeOfTheOtherSide,
    //= power N2@064d315e
    /// φ' = 0 for u < 0 in training.
    LeakForgottenInTraining,
    //= power N2@064d315e
    //= power K3@d7254348
    /// The readout moves too.
    ReadoutTrained,
    //= power K5@5687c941
    /// n + 1 steps.
    OneStepTooMany,
    //= power K5@5687c941
    /// n − 1 steps.
    OneStepTooFew,
    //= power K5@5687c941
    /// Plain descent where momentum was asked for.
    MomentumNotApplied,
    //= power N3@b26cb1af
    //= power K7@dea0f6f5
    /// −p.
    PerturbationAgainstTarget,
    //= power N3@b26cb1af
    /// ε∇f/‖∇f‖ without y'.
    PerturbationWithoutTarget,
    //= power N3@b26cb1af
    /// ε y'∇f.
    PerturbationNotNormalised,
    //= power N3@b26cb1af
    /// Divided by the largest coordinate.
    PerturbationOfLargestCoordinate,
    //= power N3@b26cb1af
    /// ε√d for ε.
    PerturbationScaledByDimension,
    //= power N3@b26cb1af
    /// ∇f₀ for ∇f_T.
    AttackOnUntrained,
    //= power N3@b26cb1af
    /// x + p in scenario a, p in scenario b.
    ScenariosSwapped,
    //= power N3@b26cb1af
    /// y' = y.
    TargetsAreLabels,
    //= power N3@b26cb1af
    /// y' = −y, as an untargeted attack has.
    TargetsAreOppositeLabels,
    //= power N3@b26cb1af
    /// y' = 1.
    TargetsAllEqual,
    //= power N3@b26cb1af
    //= power G2@29c3e467
    /// g starts from f's initial weights.
    SecondStartsAsFirst,
    //= power N3@b26cb1af
    //= power G2@29c3e467
    /// g starts from f's trained weights.
    SecondContinuesFirst,
    //= power G1@081005ba
    //= power G2@29c3e467
    /// g is trained towards y.
    SecondOnTrueLabels,
    //= power G2@29c3e467
    /// g is trained for T, not T'.
    SecondTrainedAsLong,
}
Flow {
    //= power M2@1a1e7858
    /// Every sample crosses its boundary once and never returns or stays.
    SlidingIgnored,
    //= power M2@1a1e7858
    /// The neuron stops at its first sign change.
    StoppedAtFirstEvent,
    //= power N2@064d315e
    /// The first velocity for all times.
    VelocityFrozen,
    //= power M2@1a1e7858
    /// Sign changes at |u|/(|a|κ), as if at full speed.
    EventTimesFromRange,
}
Bound {
    //= power W4@5937fdca
    /// 1/n_c for 1/√n_c: as many copies squared.
    KernelRootForgotten,
    //= power W4@5937fdca
    //= power W2@49c26d12
    /// ln(1/δ) for ln(2/δ), and the claim on both sides.
    KernelFactorTwoForgotten,
    //= power W4@5937fdca
    /// δ per point, and the claim for all points at once.
    KernelUnionForgotten,
    //= power W4@5937fdca
    /// t = δ.
    KernelLogarithmForgotten,
    //= power W4@5937fdca
    /// n_c = m for antisymmetric pairs.
    KernelPairsAsIndependent,
    //= power W4@5937fdca
    //= power W1@23ae4143
    /// Var B a quarter of what it is.
    KernelDeviationHalved,
    //= power W9@5747a6b9
    /// The law of width m².
    ErrorRootForgotten,
    //= power W9@5747a6b9
    /// The tail towards 0, and the claim on both sides.
    ErrorOneTailForTwo,
    //= power W9@5747a6b9
    //= power W8@68e86f70
    /// T·e_X alone.
    ErrorDriftForgotten,
    //= power W11@7fa4afde
    /// One standard deviation for its tail.
    StartLogarithmForgotten,
    //= power W11@7fa4afde
    //= power A5@1ae712df
    /// |f₀| bounded by 0 under standard initialisation.
    StartBoundForgotten,
    //= power A2@1a0181ad
    /// The certificate of a network 100 times wider.
    CertificateTooWide,
    //= power A2@1a0181ad
    /// Certified wherever T'|G| exceeds the error, whatever the sign of f.
    CertificateWithoutAgreement,
    //= power A2@1a0181ad
    /// The certificate of the inputs with the labels y.
    CertificateOfLabels,
    //= power W5@0326e76b
    /// 1/m for 1/√m.
    MeanDriftRootForgotten,
    //= power W5@0326e76b
    //= power W7@6699cfd1
    //= power W8@68e86f70
    /// E(f_T − f₀) = T·F.
    MeanDriftForgotten,
    //= power W7@6699cfd1
    /// What is of order 1/m in W7 without what is of order 1/√m.
    MeanDriftSelfForgotten,
    //= power W6@4922f30b
    /// 1/m for 1/√m.
    DriftMomentRootForgotten,
    //= power P4@e42a1f71
    /// Squared deviations of the gradient fall like 1/m, as those of function values do.
    GradientRateOfFunction,
    //= power W3@ed3dfd0e
    /// √(vt/n) for √(2vt/n).
    BernsteinFactorTwoForgotten,
    //= power W2@49c26d12
    /// The two-point law of half the variance.
    ChernoffVarianceHalved,
    //= power G6@ad6e1314
    /// One standard deviation for its tail.
    NoiseLogarithmForgotten,
    //= power G6@ad6e1314
    /// N^{−3/2} for 1/N.
    NoiseRootForgotten,
    //= power G7@0824c92a
    /// No offset from unbalanced targets.
    OffsetForgotten,
    //= power D5@64d6b4f8
    /// The chord for the arc.
    AngleChordForArc,
    //= power D6@aa7af61c
    /// ‖a − b‖/(‖a‖ + ‖b‖).
    UnitVectorFactorTwoForgotten,
    //= power M3@0eb36093
    /// κ₊ − κ₋ for κ₊ − γκ₋.
    RangeSlopeForgotten,
}
}

impl Fault {
    pub fn place(self) -> Place {
        FAULTS.iter().find(|(fault, _)| *fault == self).expect("every fault is listed").1
    }

    /// The name in words.
    pub fn words(self) -> String {
        let mut words = String::new();
        for (at, letter) in format!("{self:?}").chars().enumerate() {
            if letter.is_uppercase() && at > 0 {
                words.push(' ');
            }
            words.extend(letter.to_lowercase());
        }
        words
    }

    /// The statements that the fault contradicts, as its marks in this file say.
    pub fn statements(self) -> Vec<&'static str> {
        let name = format!("{self:?},");
        let mut marks = Vec::new();
        for line in include_str!("fault.rs").lines().map(str::trim) {
            if let Some(mark) = line.strip_prefix("//= power ") {
                marks.push(mark.split('@').next().unwrap_or(mark));
            } else if line == name {
                return marks;
            } else if !line.starts_with("///") {
                marks.clear();
            }
        }
        unreachable!("every fault stands in this file")
    }
}
