//! Where variants run: the step that opens their device, and what cannot run there.

use super::expand::Builder;
use super::{StepIndex, VariantPlan};
use crate::backend::{self, Backend, Device, Placement, TensorRt, onnxruntime};
use crate::model::Kind;
use crate::spec::{self, ProviderFallback, Variant};
use crate::stage::{OpenDevice, Stage};

impl Builder<'_> {
    /// Where the spec wants `variant` to run.
    pub fn placement(&self, variant: &Variant) -> Placement {
        let expect = variant.expect.as_ref();
        Placement {
            device: match variant.device {
                spec::Device::Cpu => Device::Cpu,
                spec::Device::Cuda(number) if self.around.mock => Device::Mock(number),
                spec::Device::Cuda(number) => Device::Cuda(number),
            },
            tensorrt: variant.tensorrt.as_ref().map(|asked| TensorRt {
                fp16: asked.fp16,
                int8: asked.int8,
                engine_cache: asked.engine_cache,
            }),
            fallback: expect.and_then(|e| e.provider_fallback) == Some(ProviderFallback::Allow),
            engines: None,
        }
    }

    /// Gives a variant on a device the step that opens it; one step serves all that run alike.
    pub fn place(&mut self, name: &str, plan: &mut VariantPlan) {
        plan.device = None;
        let device = plan.runner.placement.device;
        if device.is_cpu() {
            return;
        }
        if plan.runner.backend != onnxruntime::ID {
            let what = format!("backend `{}` runs on the CPU only", plan.runner.backend);
            self.problem("plan/no-device", &format!("/variants/{name}/device"), what).hint =
                Some("stage `export` makes a graph, which backend `onnxruntime` runs".into());
            return;
        }
        let gpu = match (device, &self.around.gpus) {
            (Device::Cuda(number), Ok(gpus)) => {
                gpus.get(number as usize).cloned().ok_or_else(|| match gpus.len() {
                    1 => "there is 1 GPU, `cuda:0`".to_owned(),
                    count => format!("there are {count} GPUs, from `cuda:0` on"),
                })
            }
            (_, Err(why)) => Err(why.clone()),
            (_, Ok(_)) => Err("no GPU is asked for".to_owned()),
        };
        let open = OpenDevice { runner: plan.runner.clone(), gpu };
        let id = open.id();
        let known = self.step_named(&id);
        plan.device = Some(known.unwrap_or_else(|| {
            let runtime = backend::of(&plan.runner).and_then(Backend::runtime);
            let needs: Vec<StepIndex> = runtime.map(|_| self.runtime()).into_iter().collect();
            self.push(id, Stage::OpenDevice(open), needs, Kind::Checkpoint)
        }));
    }
}
