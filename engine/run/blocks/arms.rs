//! What a block launches: every variant, and the baseline once more where noise is to be seen.

use super::Blocks;
pub use crate::record::AGAIN;
use crate::record::Launch;
use crate::run::session::Session;
use crate::spec::NoiseFloor;
use crate::stage::{Artifact, Bench, Setting, Stage};

/// One of the launches of a block.
pub struct Arm {
    /// The variant, or [`AGAIN`].
    pub recorded: String,
    /// What runs.
    pub variant: String,
    pub artifact: Artifact,
}

/// The arms of every block: the variants in their order, then the baseline again, if so.
pub fn arms(blocks: &Blocks<'_>, variants: &[(String, Artifact)]) -> Vec<Arm> {
    let arm = |(name, artifact): &(String, Artifact)| Arm {
        recorded: name.clone(),
        variant: name.clone(),
        artifact: artifact.clone(),
    };
    let mut out: Vec<Arm> = variants.iter().map(arm).collect();
    let baseline = variants.iter().find(|(name, _)| *name == blocks.plan.baseline);
    if let (Some(baseline), Ok(())) = (baseline, shows_noise(blocks, variants.len())) {
        out.push(Arm { recorded: AGAIN.into(), ..arm(baseline) });
    }
    out
}

/// Whether blocks of this setting launch the baseline twice when `able` variants can be run, or
/// why not.
pub fn shows_noise(blocks: &Blocks<'_>, able: usize) -> Result<(), String> {
    let asked = blocks.bench.design.noise_floor;
    let first = || first_alike(blocks).is_none_or(|first| *first == blocks.stage.setting);
    match asked {
        NoiseFloor::Off => Err("`bench.design.noise_floor` is `off`".into()),
        NoiseFloor::Auto if able < 2 => Err("nothing is compared".into()),
        NoiseFloor::Auto if !first() => {
            Err("`bench.design.noise_floor` is `auto`: seen at the first setting".into())
        }
        NoiseFloor::Auto | NoiseFloor::EveryBlock => Ok(()),
    }
}

/// The first setting of the plan for the same part of the model in the same scenario.
fn first_alike<'a>(blocks: &'a Blocks<'_>) -> Option<&'a Setting> {
    let own = &blocks.stage.setting;
    blocks.plan.steps.iter().find_map(|step| match &step.stage {
        Stage::Bench(Bench { setting, .. })
            if setting.part == own.part && setting.load.id() == own.load.id() =>
        {
            Some(setting)
        }
        _ => None,
    })
}

/// Launches of the second arm under `setting`, in order.
pub fn launches_again(session: &Session, setting: &Setting) -> Vec<Launch> {
    let own = session.of(setting).launches().filter(|known| known.variant == AGAIN);
    let mut out: Vec<Launch> = own.map(|known| known.launch.clone()).collect();
    out.sort_by_key(|launch| (launch.block, launch.position));
    out
}
